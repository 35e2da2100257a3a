"""Replay stored history: read it, run the plan, leave the report."""

from __future__ import annotations

from pathlib import Path

from loguru import logger
from prefect.artifacts import create_markdown_artifact
from prefect.context import FlowRunContext

from learning.problem import Problem
from learning.replay import Plan, ReplayError, ReplayResult
from learning.replay_advice import Advice
from learning.replay_page import write_page
from learning.replay_stream import Stream, make_stream, usual_batch
from learning.replay_table import as_json, markdown
from learning.rows import Rows, Schema, encode
from learning.spans import Span
from settings import Settings
from storage.bundles import write_atomically
from storage.database import dump_json, open_engine, upgrade
from storage.observations import SOURCE, read_observations
from storage.problem_text import inline
from storage.replays import replay_folder
from storage.schemas import read_schema
from tasks.artifacts import artifact_key
from tasks.replay_jobs import OnProgress, run_plan, state_folder
from tasks.step import step


@step("read what is stored")
def stored_stream(
    settings: Settings, problem: Problem, label_delay: Span | None, batch_rows: int | None
) -> Stream:
    """All observations of a problem as a stream. Raises ReplayError when there are none.

    When drift begins is known only where a generator made every row.
    """
    upgrade(settings.sql_url)
    engine = open_engine(settings.sql_url)
    schema = read_schema(engine, problem)
    engine.dispose()
    frame = read_observations(settings.store, problem.name)
    if schema is None or not len(frame):
        raise ReplayError(
            f"{problem.name}: no rows are stored; name a file to replay, or ingest some first"
        )
    is_generated = bool((frame[SOURCE] == "generator").all())
    drift = generated_drift(problem, len(frame)) if is_generated else None
    return as_stream(encode(frame, schema), schema, problem, label_delay, batch_rows, drift)


def as_stream(
    rows: Rows,
    schema: Schema,
    problem: Problem,
    label_delay: Span | None = None,
    batch_rows: int | None = None,
    drift_rows: tuple[int, ...] | None = None,
) -> Stream:
    """Rows as a stream, with the problem's label delay and the usual batches unless given."""
    delay = problem.label_delay if label_delay is None else label_delay
    batch = usual_batch(len(rows), problem.drift.min_rows) if batch_rows is None else batch_rows
    try:
        return make_stream(rows, schema, delay, batch, drift_rows)
    except ValueError as error:
        raise ReplayError(f"{problem.name}: {error}") from error


def generated_drift(problem: Problem, n_rows: int) -> tuple[int, ...] | None:
    """The rows at which a problem's generator begins to drift; None where it has none."""
    if problem.generator is None:
        return None
    drift = problem.generator.drift
    if drift.kind == "none":
        return ()
    every = drift.length_rows if drift.kind == "recurring" else n_rows
    return tuple(row for row in range(drift.start_row, n_rows, every) if row > 0)


@step("replay")
def replay_plan(
    settings: Settings,
    plan: Plan,
    workers: int = 1,
    resume: bool = False,
    on_progress: OnProgress = lambda _job, _rows: None,
) -> ReplayResult:
    """Run a plan; what a run that was stopped had come to is gone on with if ``resume``."""
    return run_plan(plan, state_folder(settings.home, plan, resume), workers, on_progress)


@step("write the replay's report")
def write_report(
    settings: Settings, problem: Problem, result: ReplayResult, path: Path | None = None
) -> Path:
    """The page with the plots, its numbers for the status page, and in Prefect its table."""
    folder = replay_folder(settings.home, problem.name)
    path = path or folder / "report.html"
    page = write_page(result, problem.name, setting_lines(result.advice))
    write_atomically(path, page.encode())
    document = {"problem": problem.name, **as_json(result)}
    write_atomically(folder / "report.json", dump_json(document).encode())
    _show(problem.name, result, path)
    return path


def setting_lines(advice: Advice) -> str:
    """What to put into the problem file, as YAML; nothing where it is right as it is."""
    if not advice.settings:
        return ""
    lines = [f"  {key}: {inline(value)}" for key, value in advice.settings.items()]
    return "\n".join(["retrain:", *lines])


def _show(name: str, result: ReplayResult, path: Path) -> None:
    if FlowRunContext.get() is None:
        return
    try:
        # No link: a browser opens no files of a page that came over the network.
        where = f"With its plots: the page *Replay* of the status page, or the file `{path}`."
        text = f"{markdown(result)}\n\n{where}"
        about = result.advice.sentence
        create_markdown_artifact(text, key=artifact_key(name, "replay"), description=about)
    except Exception as error:  # a failing Prefect server is no failure here
        logger.warning("{}: the replay's artifact was not kept: {}", name, type(error).__name__)
