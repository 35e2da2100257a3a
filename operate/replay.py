"""Replay a file or what is stored, and put what it recommends into the problem file."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from learning.inference import infer_problem
from learning.problem import Problem
from learning.replay import Plan, ReplayError, ReplayResult, make_plan
from learning.replay_stream import Stream
from learning.replay_table import as_json
from learning.rows import EVENT_TIME, Schema, encode
from learning.spans import Span
from learning.validation import validate
from operate.begin import problem_name
from settings import Settings
from storage.problem_edit import set_keys
from storage.problems import SHIPPED, SUFFIX, load_problem, problem_folders
from storage.schemas import schema_of
from storage.tabular import read_table
from tasks.replay import as_stream, replay_plan, setting_lines, stored_stream, write_report
from tasks.replay_jobs import OnProgress


@dataclass(frozen=True)
class Asked:
    """What a person asks of a replay."""

    data: Path | None = None
    problem: str | None = None
    target: str | None = None
    event_time: str | None = None
    key: str | None = None
    drop: tuple[str, ...] = ()
    policies: tuple[str, ...] = ()
    label_delay: Span | None = None
    batch_rows: int | None = None
    newest: int | None = None
    n_segments: int = 1
    drift_rows: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Replayed:
    """A replay's result with the problem it was of, what was remarked, and its report."""

    problem: Problem
    result: ReplayResult
    notes: tuple[str, ...]
    report: Path
    applied: Path | None = None

    def with_applied(self, path: Path | None) -> Replayed:
        """The same after its advice was written to a file."""
        return replace(self, applied=path)

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return {
            **as_json(self.result),
            "problem": self.problem.name,
            "notes": list(self.notes),
            "lines": setting_lines(self.result.advice),
            "report": str(self.report),
            "applied": None if self.applied is None else str(self.applied),
        }


def plan_replay(settings: Settings, asked: Asked) -> tuple[Plan, tuple[str, ...]]:
    """The plan of a replay, and what is to be said about the rows.

    Raises ReplayError, TableError, ProblemError or InferenceError for what cannot be replayed.
    """
    problem, stream, notes = _read(settings, asked)
    if asked.drift_rows is not None:
        bad = [row for row in asked.drift_rows if not 0 < row < len(stream)]
        if bad:
            raise ReplayError(f"--drift-at: found {bad[0]}; expected 1 to {len(stream) - 1}")
    return make_plan(stream, problem, asked.policies, asked.n_segments), notes


def run_replay(
    settings: Settings,
    plan: Plan,
    notes: Sequence[str],
    report: Path | None,
    workers: int,
    resume: bool,
    on_progress: OnProgress,
) -> Replayed:
    """Run a plan and write its report."""
    result = replay_plan(settings, plan, workers, resume, on_progress)
    path = write_report(settings, plan.problem, result, report)
    return Replayed(plan.problem, result, tuple(notes), path)


def apply_advice(settings: Settings, replayed: Replayed) -> Path | None:
    """Write what is recommended into the problem file; None where nothing is to be changed.

    A shipped problem's file is copied to the user's folder of problems first, if there is one.
    """
    values = replayed.result.advice.settings
    if not values:
        return None
    name = replayed.problem.name
    folders = problem_folders(settings)
    load_problem(name, folders)
    path = next(folder / f"{name}{SUFFIX}" for folder in folders if _holds(folder, name))
    if path.parent == SHIPPED and settings.problems is not None:
        settings.problems.mkdir(parents=True, exist_ok=True)
        path = Path(shutil.copy(path, settings.problems / path.name))
    set_keys(path, "retrain", values)
    return path


def _holds(folder: Path, name: str) -> bool:
    return (folder / f"{name}{SUFFIX}").is_file()


def _read(settings: Settings, asked: Asked) -> tuple[Problem, Stream, tuple[str, ...]]:
    if asked.data is None:
        problem = load_problem(asked.problem or settings.active[0], problem_folders(settings))
        stream = stored_stream(settings, problem, asked.label_delay, asked.batch_rows)
        return problem, _known_drift(stream, asked), ()
    if not asked.data.is_file():
        raise ReplayError(
            f"found no file {str(asked.data)!r}; expected a CSV, CSV.gz or Parquet file"
        )
    frame = read_table(asked.data)
    if asked.newest is not None:
        frame = frame.tail(asked.newest).reset_index(drop=True)
    problem, notes = _problem_of(settings, asked, frame)
    stream, remarks = _stream_of(frame, problem, asked)
    return problem, _known_drift(stream, asked), (*notes, *remarks)


def _known_drift(stream: Stream, asked: Asked) -> Stream:
    if asked.drift_rows is None:
        return stream
    rows = tuple(sorted(asked.drift_rows))
    return Stream(**{**vars(stream), "drift_rows": rows})


def _problem_of(
    settings: Settings, asked: Asked, frame: pd.DataFrame
) -> tuple[Problem, tuple[str, ...]]:
    """The problem named, or the one that the file describes."""
    assert asked.data is not None
    if asked.problem is not None:
        problem = load_problem(asked.problem, problem_folders(settings))
        try:
            schema_of(problem)
            return problem, ()
        except ValueError:
            target, name = problem.target, problem.name
        found = infer_problem(
            frame, target, name=name, event_time=problem.event_time, key=problem.key,
            drop=problem.drop,
        )  # fmt: skip
        kept = {key: getattr(problem, key) for key in problem.model_fields_set}
        whole = {**kept, "features": found.problem.features, "classes": found.problem.classes}
        return found.problem.model_copy(update=whole | {"task": found.problem.task}), found.notes
    if asked.target is None:
        raise ReplayError("name the problem with --problem, or the column to predict with --target")
    inferred = infer_problem(
        frame,
        asked.target,
        name=problem_name(asked.data),
        event_time=asked.event_time,
        key=asked.key,
        drop=asked.drop,
    )
    notes = (*inferred.notes, *(f"warning: {text}" for text in inferred.warnings))
    return inferred.problem, notes


def _stream_of(
    frame: pd.DataFrame, problem: Problem, asked: Asked
) -> tuple[Stream, tuple[str, ...]]:
    """The good rows of a file as a stream; bad ones are counted and left out, as ingest does."""
    schema: Schema = schema_of(problem)
    checked = validate(frame, problem, schema, datetime.now(UTC))
    good, notes = checked.good, []
    if checked.bad:
        reasons = ", ".join(f"{n} {reason}" for reason, n in checked.reasons.items())
        notes.append(f"{len(checked.bad)} rows are left out: {reasons}")
    if problem.event_time is None:
        minutes = pd.to_timedelta(np.arange(len(good)), unit="min")
        good[EVENT_TIME] = pd.Timestamp("2024-01-01", tz="UTC") + minutes
        notes.append("no event time: the rows are taken in their order, one a minute")
    rows = encode(good, schema)
    return as_stream(rows, schema, problem, asked.label_delay, asked.batch_rows), tuple(notes)
