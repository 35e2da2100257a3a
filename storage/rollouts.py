"""Rollouts at rest: one row per stage of a version, and the live rows that a stage is judged on.

A stage is ``running``, then ``passed`` or ``failed`` by what was seen, or ``ended`` because
something else came first. At most one stage before a promotion runs per problem, and one probation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Row, Select, func, insert, select, update

from storage.performance import OF_PREDICTION
from storage.tables import feedback, predictions, rollouts

BEFORE_PROMOTION = ("shadow", "canary")


def begin_stage(
    connection: Connection,
    problem: str,
    stage: str,
    generation: int,
    version: tuple[int, str],
    against: tuple[int, str],
    share: float,
    reason: str,
    clock: datetime,
) -> None:
    """Begin a stage of a version against another one, each with its bundle.

    The rows that count are those behind the newest stored now. The same generation again is left.
    """
    known = connection.execute(
        select(rollouts.c.id).where(
            rollouts.c.problem == problem,
            rollouts.c.generation == generation,
            rollouts.c.stage == stage,
        )
    ).first()
    if known is not None:
        return
    newest = connection.execute(select(func.max(predictions.c.id))).scalar_one()
    connection.execute(
        insert(rollouts).values(
            problem=problem,
            stage=stage,
            version=version[0],
            bundle=version[1],
            against=against[0],
            against_bundle=against[1],
            state="running",
            generation=generation,
            share=share,
            first_id=newest or 0,
            reason=reason,
            evidence={},
            clock=clock,
            began_at=datetime.now(UTC),
        )
    )


def running(connection: Connection, problem: str, stages: Sequence[str]) -> Row[Any] | None:
    """The running one of some stages, or None."""
    return connection.execute(
        select(rollouts)
        .where(
            rollouts.c.problem == problem,
            rollouts.c.state == "running",
            rollouts.c.stage.in_(stages),
        )
        .order_by(rollouts.c.id.desc())
        .limit(1)
    ).first()


def note_seen(
    connection: Connection, rollout_id: int, reason: str, evidence: Mapping[str, Any]
) -> None:
    """Keep what a running stage has seen by now."""
    connection.execute(
        update(rollouts)
        .where(rollouts.c.id == rollout_id)
        .values(reason=reason, evidence=dict(evidence))
    )


def end_stages(
    connection: Connection,
    problem: str,
    stages: Sequence[str],
    state: str,
    reason: str,
    clock: datetime,
) -> None:
    """Close what runs of some stages as ``passed``, ``failed`` or ``ended``."""
    connection.execute(
        update(rollouts)
        .where(
            rollouts.c.problem == problem,
            rollouts.c.state == "running",
            rollouts.c.stage.in_(stages),
        )
        .values(state=state, reason=reason, ended_clock=clock, ended_at=datetime.now(UTC))
    )


def history(connection: Connection, problem: str, newest: int) -> Sequence[Row[Any]]:
    """The newest stages, newest first."""
    return connection.execute(
        select(rollouts)
        .where(rollouts.c.problem == problem)
        .order_by(rollouts.c.id.desc())
        .limit(newest)
    ).all()


def count_live(
    connection: Connection, problem: str, first_id: int, version: str | None = None
) -> int:
    """Predictions behind ``first_id``, or those of them that a version answered."""
    query = select(func.count()).where(
        predictions.c.problem == problem, predictions.c.id > first_id
    )
    if version is not None:
        query = query.where(predictions.c.model_version == version)
    return int(connection.execute(query).scalar_one())


def live_rows(
    connection: Connection, problem: str, first_id: int, newest: int
) -> Sequence[Row[Any]]:
    """The newest predictions behind ``first_id`` with their inputs, oldest first."""
    rows = connection.execute(
        select(predictions.c.features, predictions.c.model_version)
        .where(predictions.c.problem == problem, predictions.c.id > first_id)
        .order_by(predictions.c.id.desc())
        .limit(newest)
    ).all()
    return rows[::-1]


def count_labelled(
    connection: Connection, problem: str, first_id: int, mature_until: datetime
) -> int:
    """Mature predictions behind ``first_id`` whose label arrived."""
    query = _labelled(select(func.count()), problem, first_id, mature_until)
    return int(connection.execute(query).scalar_one())


def labelled_rows(
    connection: Connection, problem: str, first_id: int, mature_until: datetime, newest: int
) -> Sequence[Row[Any]]:
    """The newest mature predictions behind ``first_id`` with inputs and label, in time order."""
    columns = predictions.c.features, predictions.c.model_version, feedback.c.actual
    query = _labelled(select(*columns), problem, first_id, mature_until)
    rows = connection.execute(
        query.order_by(predictions.c.event_time.desc(), predictions.c.id.desc()).limit(newest)
    ).all()
    return rows[::-1]


def _labelled(
    query: Select[Any], problem: str, first_id: int, mature_until: datetime
) -> Select[Any]:
    return (
        query.select_from(predictions)
        .join(feedback, OF_PREDICTION)
        .where(
            predictions.c.problem == problem,
            predictions.c.id > first_id,
            predictions.c.event_time <= mature_until,
        )
    )
