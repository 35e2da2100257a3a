"""The decision ledger: who was champion from when to when, who decided, and on what evidence."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from sqlalchemy import Row

from operate.status import tables_of
from operate.terminal import printable
from settings import Settings
from storage import ledger, releases, reports, rollouts
from storage.ledger_check import CLOSED, check

SERVED = ("promoted", "rolled_back_to")
# The whole problem file is told by `perennial history --json` of no row: it has its hash.
_LONG = ("problem",)


def read_history(settings: Settings, problem: str | None, newest: int) -> dict[str, Any]:
    """Reigns, releases, gate decisions and all acts of the ledger, each newest first."""
    name = problem or settings.active[0]
    with tables_of(settings, problem) as connection:
        acts = releases.release_history(connection, name, newest)
        gates = reports.decisions_of(connection, name, "gate", newest)
        entered = ledger.entries(connection, name, newest)
        stages = rollouts.history(connection, name, newest)
    rows = {row.generation: row for row in entered if row.act in CLOSED and row.problem == name}
    return {
        "problem": name,
        "reigns": _reigns(acts, rows),
        "releases": [_release(row) for row in acts],
        "gate": [_gate(row) for row in gates],
        "ledger": [_entry(row) for row in entered],
        "rollouts": [_stage(row) for row in stages],
    }


def _reigns(acts: Sequence[Row[Any]], rows: dict[int, Row[Any]]) -> list[dict[str, Any]]:
    """Who was champion from when to when; the newest, whose end is None, first."""
    reigns: list[dict[str, Any]] = []
    for act in acts:
        if act.state not in SERVED:
            continue
        row = rows.get(act.generation)
        reigns.append(
            {
                "version": act.version,
                "generation": act.generation,
                "state": act.state,
                "from": act.acknowledged_at,
                "until": reigns[-1]["from"] if reigns else None,
                "decided_by": ledger.decider(act.actor),
                "actor": act.actor,
                "reason": act.reason,
                "evidence": None if row is None else _evidence(row),
                "hash": None if row is None else row.hash,
            }
        )
    return reigns


def _release(row: Row[Any]) -> dict[str, Any]:
    names = ("generation", "version", "state", "actor", "reason", "clock", "started_at")
    return {name: row._mapping[name] for name in (*names, "acknowledged_at")}


def _stage(row: Row[Any]) -> dict[str, Any]:
    names = ("stage", "version", "against", "state", "share", "generation", "reason", "evidence")
    return {name: row._mapping[name] for name in (*names, "clock", "ended_clock")}


def _gate(row: Row[Any]) -> dict[str, Any]:
    return {
        "version": row.evidence.get("version"),
        "go": row.go,
        "outcome": row.evidence.get("outcome", "promote" if row.go else "refuse"),
        "look": row.evidence.get("look", 1),
        "reason": row.reason,
        "checks": row.evidence.get("checks", []),
        "gain": row.evidence.get("gain"),
        "clock": row.clock,
        "decided_at": row.decided_at,
    }


def _entry(row: Row[Any]) -> dict[str, Any]:
    names = ("seq", "at", "act", "subject", "actor", "decided_by", "reason", "hash")
    return {**{name: row._mapping[name] for name in names}, "evidence": _evidence(row)}


def _evidence(row: Row[Any]) -> dict[str, Any]:
    found = json.loads(row.evidence)
    return {name: value for name, value in found.items() if name not in _LONG}


def show_history(found: dict[str, Any], console: Console) -> None:
    """The ledger, for a person."""
    columns = ("version", "from", "until", "how", "decided by", "why")
    table = Table(*columns, title=found["problem"])
    for row in found["reigns"]:
        who = row["decided_by"]
        table.add_row(
            str(row["version"]),
            f"{row['from']:%Y-%m-%d %H:%M:%S}",
            "now" if row["until"] is None else f"{row['until']:%Y-%m-%d %H:%M:%S}",
            row["state"].replace("_", " "),
            who if who == row["actor"] else f"{who}: {printable(row['actor'])}",
            printable(row["reason"]).replace("[", r"\["),
        )
    console.print(table)
    for row in found["releases"]:
        if row["state"] not in SERVED:
            what = f"release {row['generation']} of version {row['version']} {row['state']}"
            console.print(f"{what}: {printable(row['reason'])}", markup=False)
    for row in found["rollouts"]:
        what = f"{row['stage']} of version {row['version']} beside {row['against']} {row['state']}"
        console.print(f"{what}: {printable(row['reason'])}", markup=False)
    for row in found["gate"]:
        if not row["go"]:
            console.print(f"version {row['version']} {printable(row['reason'])}", markup=False)
    for row in found["ledger"]:
        if row["act"] not in CLOSED:
            what = f"{row['at']:%Y-%m-%d %H:%M:%S} {row['act']} by {row['actor']}"
            text = f"{what}: {row['subject'][:12]}, {row['reason']}"
            console.print(printable(text), markup=False)


def verify(settings: Settings, head: str | None) -> dict[str, Any]:
    """Whether the ledger is unbroken and the tables say what it says."""
    with tables_of(settings, None) as connection:
        found = check(connection, head)
    return {
        "ok": found.is_whole,
        "rows": found.n_rows,
        "head": found.head,
        "broken": None
        if found.broken_seq is None
        else {"row": found.broken_seq, "reason": found.broken_why},
        "differences": list(found.differences),
    }


def show_verified(found: dict[str, Any], console: Console) -> None:
    """What was proven, or what is broken first."""
    if found["ok"]:
        console.print(f"The ledger is unbroken: {found['rows']} rows. Its newest hash:")
        console.print(found["head"])
        return
    if found["broken"]:
        reason = found["broken"]["reason"]
        console.print(f"The ledger is broken at row {found['broken']['row']}: {reason}.")
    for difference in found["differences"]:
        console.print(printable(difference), markup=False)
