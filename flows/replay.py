"""Replay: which retraining policy would have paid on what is stored?"""

from __future__ import annotations

from typing import Any

from loguru import logger

from flows.loop_flow import loop_flow
from flows.parameters import Delay, Policies, ProblemName, Workers
from flows.run_name import name_run, run_name
from learning.replay import ReplayError, make_plan
from learning.replay_policies import USUAL
from learning.replay_table import as_json
from learning.spans import Span
from settings import Settings, get_settings
from storage.problems import ProblemError, load_problem, problem_folders
from tasks.replay import replay_plan, stored_stream, write_report


@loop_flow("replay", timeout_minutes=24 * 60)
def replay(
    problem: ProblemName = None,
    policies: Policies = None,
    label_delay: Delay = None,
    workers: Workers = 1,
    resume: bool = False,
) -> dict[str, Any]:
    """Replay each active problem's stored rows under several policies; changes nothing.

    No lease is held: the loop goes on meanwhile.

    Args:
        problem: one problem, by its name; empty: each active one (PERENNIAL_ACTIVE)
        policies: policies to compare, such as never, every:1000, drift or auto; empty: the usual
        label_delay: rows (500) or time (7d) until a label is known; empty: as the problem says
        workers: processes that replay policies side by side
        resume: go on with a replay that was stopped, instead of beginning anew
    """
    settings = get_settings()
    names = (problem,) if problem else settings.active
    delay = None if label_delay is None else Span.parse(label_delay)
    found: dict[str, Any] = {}
    failures: list[Exception] = []
    for name in names:
        try:
            found[name] = _one(settings, name, tuple(policies or USUAL), delay, workers, resume)
        except (ReplayError, ProblemError, OSError) as error:  # the others have their turn
            logger.error("{}: replay failed: {}", name, error)
            failures.append(error)
    name_run(run_name("replay", found, names))
    if failures:
        raise failures[0]
    return found


def _one(
    settings: Settings,
    name: str,
    policies: tuple[str, ...],
    delay: Span | None,
    workers: int,
    resume: bool,
) -> dict[str, Any]:
    loaded = load_problem(name, problem_folders(settings))
    plan = make_plan(stored_stream(settings, loaded, delay, None), loaded, policies)
    result = replay_plan(settings, plan, workers, resume)
    path = write_report(settings, loaded, result)
    return {**_short(as_json(result)), "report": str(path)}


def _short(document: dict[str, Any]) -> dict[str, Any]:
    """The document without what the page shows: curves and every decision."""
    long = ("curve", "decisions", "metrics", "changes")
    policies = {
        name: {key: value for key, value in one.items() if key not in long}
        for name, one in document["policies"].items()
    }
    return {**document, "policies": policies}
