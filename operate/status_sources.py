"""What the status says of a problem's sources: how far they are, which fail, what waits."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy import Connection

from learning.sources import source_name
from settings import Settings
from storage import waiting_labels
from storage.problems import ProblemError, load_problem, problem_folders
from storage.source_positions import states


def source_facts(settings: Settings, connection: Connection, name: str) -> dict[str, Any]:
    """Sources as the problem file lists them, and how many labels wait for their rows."""
    known = states(connection, name)
    try:
        listed = load_problem(name, problem_folders(settings)).sources
    except ProblemError:
        names = sorted(known)
    else:
        names = [source_name(source) for source in listed]
    nothing = {"moved_at": None, "failing_since": None, "reason": None}
    sources = {source: {**nothing, **known.get(source, {})} for source in names}
    return {"sources": sources, "waiting_labels": waiting_labels.count(connection, name)}


def source_lines(problem: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Labels and texts of the lines for a person; nothing about what needs no word."""
    for name, state in problem["sources"].items():
        if state["failing_since"] is not None:
            since = f"{state['failing_since']:%Y-%m-%d %H:%M:%S}"
            yield f"source {name}", f"failing since {since}: {state['reason']}"
        elif state["moved_at"] is not None:
            yield f"source {name}", f"last news at {state['moved_at']:%Y-%m-%d %H:%M:%S}"
    if waiting := problem["waiting_labels"]:
        yield "labels", f"{waiting} wait for a row with their key"
