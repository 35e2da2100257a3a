"""Replay: which retraining policy would have paid on what is stored?"""

from __future__ import annotations

from typing import Any

from prefect import flow

from learning.replay import make_plan
from learning.replay_policies import USUAL
from learning.replay_table import as_json
from learning.spans import Span
from settings import get_settings
from storage.problems import load_problem, problem_folders
from tasks.replay import replay_plan, stored_stream, write_report


@flow(name="replay", persist_result=False)
def replay(
    problem: str | None = None,
    policies: list[str] | None = None,
    label_delay: str | None = None,
    workers: int = 1,
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
    delay = None if label_delay is None else Span.parse(label_delay)
    found = {}
    for name in (problem,) if problem else settings.active:
        loaded = load_problem(name, problem_folders(settings))
        stream = stored_stream(settings, loaded, delay, None)
        plan = make_plan(stream, loaded, policies or USUAL)
        result = replay_plan(settings, plan, workers, resume)
        path = write_report(settings, loaded, result)
        found[name] = {**_short(as_json(result)), "report": str(path)}
    return found


def _short(document: dict[str, Any]) -> dict[str, Any]:
    """The document without what the page shows: curves and every decision."""
    long = ("curve", "decisions", "metrics", "changes")
    policies = {
        name: {key: value for key, value in one.items() if key not in long}
        for name, one in document["policies"].items()
    }
    return {**document, "policies": policies}
