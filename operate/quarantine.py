"""The quarantine by hand: what waits and why, as files, and back into the observations."""

from __future__ import annotations

import csv
import gzip
import io
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import IO, Any, cast

from sqlalchemy import Connection, Row

from settings import Settings
from storage.bundles import replacing
from storage.csv_export import neutral, neutral_text
from storage.database import dump_json, open_engine, reading, upgrade
from storage.problems import load_problem, problem_folders
from storage.quarantine import Selection, count_by_reason, count_rows, count_waiting, find_rows

EXPORTS = (".csv", ".csv.gz", ".jsonl")
OWN = ("id", "batch_id", "source", "row_number", "reason", "state", "quarantined_at")
LEASE_SECONDS = 60.0
PAUSE_SECONDS = 0.2


class QuarantineError(ValueError):
    """Nothing can be done as asked; the message says what was expected."""


def list_quarantine(
    settings: Settings, problem: str | None, batch: str | None, matching: str | None, state: str
) -> dict[str, Any]:
    """Rows of each active problem, or of one, counted by batch and reason."""
    names = (problem,) if problem else settings.active
    with _tables(settings, names) as connection:
        return {"problems": [_counts(connection, name, batch, matching, state) for name in names]}


def _counts(
    connection: Connection, name: str, batch: str | None, matching: str | None, state: str
) -> dict[str, Any]:
    selection = Selection(name, batch, matching, state=None if state == "all" else state)
    groups = [
        {
            "batch_id": row.batch_id,
            "source": row.source,
            "reason": row.quarantine_reason,
            "state": row.state,
            "rows": row.n_rows,
            "first_at": row.first_at,
        }
        for row in count_by_reason(connection, selection)
    ]
    return {"name": name, "waiting": count_waiting(connection, name), "groups": groups}


def show_rows(
    settings: Settings, problem: str | None, selection: Selection, limit: int
) -> dict[str, Any]:
    """The oldest ``limit`` selected rows with their reasons and values, and how many there are."""
    name = problem or settings.active[0]
    selection = replace(selection, problem=name)
    with _tables(settings, (name,)) as connection:
        rows = [_row(row) for row in find_rows(connection, selection, limit)]
        return {"problem": name, "total": count_rows(connection, selection), "rows": rows}


def _row(row: Row[Any]) -> dict[str, Any]:
    return {
        "id": row.id,
        "batch_id": row.batch_id,
        "source": row.source,
        "row_number": row.row_number,
        "reason": row.quarantine_reason,
        "state": row.state,
        "quarantined_at": row.quarantined_at,
        "event_time": row.event_time,
        "released_by": row.released_by,
        "released_at": row.released_at,
        "release_reason": row.release_reason,
        "row": row.row,
    }


def export_rows(
    settings: Settings, problem: str | None, selection: Selection, target: Path
) -> dict[str, Any]:
    """Write the selected rows to a file, whole or not at all; its name says CSV or JSON lines.

    In CSV our own columns begin with ``_quarantine_``, and what a spreadsheet would take for a
    formula is led by an apostrophe. Raises QuarantineError for another kind of name.
    """
    name = problem or settings.active[0]
    selection = replace(selection, problem=name)
    if not target.name.lower().endswith(EXPORTS):
        raise QuarantineError(
            f"--export: found {target.name}; expected a name ending in {', '.join(EXPORTS)}"
        )
    with _tables(settings, (name,)) as connection, replacing(target) as file:
        write = _write_lines if target.name.lower().endswith(".jsonl") else _write_csv
        zipped = target.name.lower().endswith(".gz")
        with gzip.GzipFile(fileobj=file, mode="wb") if zipped else nullcontext(file) as plain:
            n_rows = write(connection, selection, cast(IO[bytes], plain))
    return {"problem": name, "rows": n_rows, "file": str(target)}


def _write_lines(connection: Connection, selection: Selection, file: IO[bytes]) -> int:
    n_rows = 0
    for row in find_rows(connection, selection):
        file.write(dump_json(_row(row)).encode() + b"\n")
        n_rows += 1
    return n_rows


def _write_csv(connection: Connection, selection: Selection, file: IO[bytes]) -> int:
    """Two passes, so that rows of several batches share one header and few are in memory."""
    columns: dict[str, None] = {}
    for row in find_rows(connection, selection):
        columns.update(dict.fromkeys(row.row))
    text = io.TextIOWrapper(file, encoding="utf-8", newline="")
    writer = csv.writer(text)
    writer.writerow([f"_quarantine_{name}" for name in OWN] + [neutral(name) for name in columns])
    n_rows = 0
    for row in find_rows(connection, selection):
        facts = _row(row)
        cells = [*(facts[name] for name in OWN), *(row.row.get(name) for name in columns)]
        writer.writerow([neutral_text(cell) for cell in cells])
        n_rows += 1
    text.flush()
    text.detach()
    return n_rows


def release(
    settings: Settings,
    problem: str | None,
    selection: Selection,
    by: str,
    reason: str,
    is_as_is: bool,
) -> dict[str, Any]:
    """Put rows through ingest again, under the problem's lease; waits while the loop is at work.

    Raises QuarantineError when a narrowed selection has no waiting row, or the reason is blank.
    """
    name = problem or settings.active[0]
    selection = replace(selection, problem=name, state="waiting")
    if not reason.strip():
        raise QuarantineError("--reason: found nothing; expected why these rows are right")
    with _tables(settings, (name,)) as connection:
        n_asked = count_rows(connection, selection)
    is_narrowed = selection.batch or selection.matching or selection.ids
    if is_narrowed and not n_asked:
        raise QuarantineError(
            f"{name}: no row waits that fits; see `perennial quarantine list --problem {name}`"
        )
    found = _release(settings, selection, by, reason.strip(), is_as_is)
    return {
        "problem": name,
        "released": found.n_released,
        "repeated": found.n_repeated,
        "waiting": found.n_waiting,
        "reasons": dict(found.reasons),
        "by": by,
        "reason": reason.strip(),
        "as_is": is_as_is,
    }


def _release(settings: Settings, selection: Selection, by: str, reason: str, as_is: bool) -> Any:
    from tasks.quarantine import release_rows
    from tasks.run import BusyError, loop_run

    deadline = time.monotonic() + LEASE_SECONDS
    while True:
        try:
            with loop_run(selection.problem, "release", settings=settings) as run:
                return release_rows(run, selection, by, reason, as_is)
        except BusyError:
            if time.monotonic() > deadline:
                raise
            time.sleep(PAUSE_SECONDS)


@contextmanager
def _tables(settings: Settings, names: tuple[str, ...]) -> Iterator[Connection]:
    for name in names:
        load_problem(name, problem_folders(settings))
    upgrade(settings.sql_url)
    engine = open_engine(settings.sql_url)
    try:
        with reading(engine) as connection:
            yield connection
    finally:
        engine.dispose()
