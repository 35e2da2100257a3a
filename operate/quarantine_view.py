"""The quarantine on a terminal."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from operate.terminal import printable
from storage.database import dump_json

WIDEST = 300


def show_list(found: dict[str, Any], console: Console) -> None:
    """Counts by batch and reason."""
    for problem in found["problems"]:
        if not problem["groups"]:
            console.print(f"{problem['name']}: nothing is in quarantine here", markup=False)
            continue
        title = f"{problem['name']}: {problem['waiting']} rows wait"
        table = Table("rows", "state", "reason", "from", "batch", "since", title=title)
        table.columns[0].justify = "right"
        for group in problem["groups"]:
            table.add_row(
                f"{group['rows']:,}",
                group["state"],
                _text(group["reason"]),
                _text(group["source"] or ""),
                _text(group["batch_id"][:20]),
                f"{group['first_at']:%Y-%m-%d %H:%M}",
            )
        console.print(table)


def show_rows(found: dict[str, Any], console: Console) -> None:
    """Rows with what stands against them; the value that the reason names first."""
    table = Table("id", "from", "row", "reason", "found", "all of it", title=found["problem"])
    for column in table.columns[3:]:
        column.overflow = "fold"
    for row in found["rows"]:
        values = row["row"]
        named = next((name for name in values if row["reason"].startswith(f"{name}: ")), None)
        reason = row["reason"] if row["state"] == "waiting" else f"{row['reason']} ({row['state']})"
        table.add_row(
            str(row["id"]),
            _text(row["source"] or row["batch_id"]),
            str(row["row_number"]),
            _text(reason),
            _text("" if named is None else dump_json(values[named])),
            _text(dump_json(values)),
        )
    console.print(table)
    if hidden := found["total"] - len(found["rows"]):
        console.print(f"{hidden} more: --limit, or --export FILE for all", markup=False)


def show_release(found: dict[str, Any], console: Console) -> None:
    """What became of the rows."""
    n_rows = found["released"]
    line = f"{found['problem']}: {n_rows} row{'s' * (n_rows != 1)} released"
    if found["repeated"]:
        line += f", {found['repeated']} left out since their key is stored already"
    console.print(line, markup=False)
    for reason, count in found["reasons"].items():
        console.print(f"{count} still wait: {printable(reason)}", markup=False)


def _text(value: str) -> Text:
    shown = printable(value)
    return Text(shown if len(shown) <= WIDEST else shown[:WIDEST] + "…")
