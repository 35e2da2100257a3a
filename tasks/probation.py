"""Probation: what begins with a promotion, and ends with the next release."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Row

from storage import rollouts
from tasks.run import Run

PROBATION = ("probation",)


def begin_probation(
    connection: Connection, run: Run, row: Row[Any], former: Row[Any], generation: int, state: str
) -> None:
    """From now on the former champion is compared with the version that took its place.

    Only a promotion is on probation; any release ends the one before.
    """
    end_probation(connection, run, "ended", f"version {row.version} was released")
    length = run.problem.rollout.probation
    if state != "promoted" or length is None or row.bundle is None or former.bundle is None:
        return
    rollouts.begin_stage(
        connection,
        run.name,
        "probation",
        generation,
        (row.version, row.bundle),
        (former.version, former.bundle),
        1.0,
        f"promoted over version {former.version}: on probation for {length}",
        run.now,
    )


def end_probation(connection: Connection, run: Run, state: str, reason: str) -> None:
    """Close the running probation, if there is one."""
    rollouts.end_stages(connection, run.name, PROBATION, state, reason, run.now)
