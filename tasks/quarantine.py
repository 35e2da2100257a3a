"""Quarantined rows go through ingest again, once, because a person said so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import pandas as pd
from loguru import logger
from sqlalchemy import Row

from learning import alert_text
from learning.problem import Problem
from learning.rows import EVENT_TIME, Schema
from learning.validation import lenient, validate
from learning.validation_schema import BatchRefusedError
from storage import batches
from storage.database import reading
from storage.ledger import Entry, append
from storage.observations import data_version, holds_batch
from storage.quarantine import (
    Release,
    Selection,
    claim_rows,
    claimed_rows,
    count_by_reason,
    settle,
    take_back,
    unfinished_releases,
)
from tasks.batch import append_rows, arrival_time, as_fed_back, unknown_rows
from tasks.run import Run
from tasks.step import step


@dataclass(frozen=True)
class Released:
    """What became of rows that were asked for: stored, left out as their key is known, or waiting.

    ``reasons`` counts those that wait again by what stands against them now.
    """

    n_released: int = 0
    n_repeated: int = 0
    reasons: tuple[tuple[str, int], ...] = ()

    @property
    def n_waiting(self) -> int:
        """How many rows are still bad."""
        return sum(count for _, count in self.reasons)


def release_rows(
    run: Run, selection: Selection, by: str, reason: str, is_as_is: bool = False
) -> Released:
    """Put the selected waiting rows through the rules as they are now; good ones are stored.

    With ``is_as_is`` a person overrules ranges, nullability, allowed categories and future times;
    what no model could take (types, keys, unknown classes) stays refused. Rows that are still bad
    wait on, with the reason of today.
    """
    finish_releases(run)
    with run.commit() as connection:
        found = count_by_reason(connection, replace(selection, state="waiting"))
        names = list(dict.fromkeys(row.batch_id for row in found))
        for place, batch_id in enumerate(names):
            release_id = f"release:{run.run_id}:{place}"
            release = Release(release_id, by, reason, datetime.now(UTC), is_as_is)
            n_rows = claim_rows(connection, selection, batch_id, release)
            evidence = {"rows": n_rows, "batch": batch_id, "as_is": is_as_is}
            act = Entry(run.name, "rows released", release_id, by, reason, evidence)
            append(connection, act)
    return finish_releases(run)


@step("finish releases of quarantined rows", retries=True)
def finish_releases(run: Run) -> Released:
    """Bring every release that still holds rows to its end, also one that was killed half way."""
    with reading(run.engine) as connection:
        names = unfinished_releases(connection, run.name)
    done = [_finish(run, name) for name in names]
    reasons: dict[str, int] = {}
    for reason, count in (pair for one in done for pair in one.reasons):
        reasons[reason] = reasons.get(reason, 0) + count
    return Released(
        sum(one.n_released for one in done),
        sum(one.n_repeated for one in done),
        tuple(reasons.items()),
    )


def _finish(run: Run, release_id: str) -> Released:
    """Judge a release's rows, append the good ones under its id, and note what became of them.

    Once they are appended nothing is judged again: the verdict was committed before.
    """
    with reading(run.engine) as connection:
        rows = claimed_rows(connection, run.name, release_id)
    source, n_repeated = rows[0].source or "quarantine", 0
    reasons: dict[int, str] = {}
    if not holds_batch(run.store, run.name, release_id):
        good, reasons, repeated = _judge(run, rows, release_id)
        with run.commit() as connection:
            take_back(connection, reasons)
            settle(connection, repeated, "repeated")
        rows = [row for row in rows if row.id in set(good.index)]
        n_repeated = len(repeated)
        append_rows(run, good, _schema(run), source, release_id)
    _note(run, rows, source, release_id, len(reasons))
    counted = pd.Series(list(reasons.values()), dtype=object).value_counts()
    return Released(len(rows), n_repeated, tuple((str(k), int(n)) for k, n in counted.items()))


def _schema(run: Run) -> Schema:
    schema = run.schema
    if schema is None:
        raise BatchRefusedError(f"{run.name}: the schema is not known yet; ingest a batch first")
    return schema


def _judge(
    run: Run, rows: Sequence[Row[Any]], release_id: str
) -> tuple[pd.DataFrame, dict[int, str], list[int]]:
    """Good rows, normalised, by their quarantine id; what stands against others; repeated ones."""
    problem, schema = _rules(run, rows[0])
    frame = _frame(rows, problem)
    ids = [row.id for row in rows]
    try:
        now = arrival_time(run, problem)
        checked = validate(frame, problem, schema, now, None if rows[0].is_as_is else run.latest)
    except BatchRefusedError as error:
        return pd.DataFrame(), dict.fromkeys(ids, str(error)), []
    reasons = {ids[bad.row_number - 1]: bad.reason for bad in checked.bad}
    good = checked.good.set_index(pd.Index([one for one in ids if one not in reasons]))
    if problem.event_time is None:
        first = {row.id: row.event_time for row in rows}
        times = [first[one] or now for one, now in zip(good.index, good[EVENT_TIME], strict=True)]
        good[EVENT_TIME] = pd.to_datetime(
            pd.Series(times, index=good.index, dtype=object), utc=True
        )
    new = unknown_rows(run, good, release_id)
    return new, reasons, [one for one in good.index if one not in set(new.index)]


def _rules(run: Run, row: Row[Any]) -> tuple[Problem, Schema]:
    problem, schema = run.problem.model_copy(update={"max_bad_share": 1.0}), _schema(run)
    if row.batch_id.startswith("feedback:"):
        problem = as_fed_back(problem)
    return problem, lenient(schema) if row.is_as_is else schema


def _frame(rows: Sequence[Row[Any]], problem: Problem) -> pd.DataFrame:
    """The rows as they came; times as their batch told them, for 05/06 is not read alone."""
    frame = pd.DataFrame([row.row for row in rows], dtype=object)
    column = problem.event_time
    if column is not None and column in frame:
        frame[column] = [
            row.event_time.isoformat()
            if row.event_time is not None and row.event_time_column == column
            else value
            for row, value in zip(rows, frame[column], strict=True)
        ]
    return frame


def _note(run: Run, rows: Sequence[Row[Any]], source: str, release_id: str, n_waiting: int) -> None:
    """End the rows that were appended; the release is a batch of its own."""
    with run.commit() as connection:
        settle(connection, [row.id for row in rows], "released")
        if not rows:
            return
        first = rows[0]
        reason = f"released by {first.released_by}: {first.release_reason}"
        values = {"source": source, "state": "ingested", "reason": reason, "n_rows": len(rows)}
        values |= {"problem": run.name, "batch_id": release_id, "n_quarantined": n_waiting}
        values["data_version"] = data_version(run.store, run.name)
        batches.record_batch(connection, values)
        told = alert_text.batch_ingested(f"the quarantine of {source}", len(rows))
        run.alert(connection, told, release_id)
    logger.info("{}: {} rows of {} were {}", run.name, len(rows), source, reason)
