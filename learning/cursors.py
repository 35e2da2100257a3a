"""How far a stream of rows was read: the cursor's last value, and which rows of it were seen.

Rows of one cursor value may come in different pages, and some of them late; so the last value is
asked for again, and what was seen of it is told apart by a mark of the whole row.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, TypeAlias

Row: TypeAlias = dict[str, Any]
_READ: dict[str, Callable[[str], Any]] = {
    "int": int,
    "float": float,
    "decimal": Decimal,
    "text": str,
    "time": datetime.fromisoformat,
    "date": date.fromisoformat,
}


class CursorError(ValueError):
    """A cursor column does not tell where to go on."""


@dataclass(frozen=True)
class Position:
    """The last value that was read, and marks of the rows that had it."""

    value: Any
    marks: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """The position as JSON can hold it, with the kind of its value."""
        kind = _kind(self.value)
        is_time = kind in ("time", "date")
        text = self.value.isoformat() if is_time else repr(self.value)
        text = text if kind not in ("text", "decimal") else str(self.value)
        return {"kind": kind, "value": text, "marks": list(self.marks)}

    @classmethod
    def of_json(cls, found: dict[str, Any]) -> Position:
        """The position that `as_json` made."""
        return cls(_READ[found["kind"]](found["value"]), tuple(found["marks"]))


def advance(
    rows: Sequence[Row], cursor: str, position: Position | None
) -> tuple[list[Row], Position | None]:
    """The rows that were not seen yet, and the position behind all of them.

    ``rows`` rise by the cursor and begin at the position's value at the earliest. Raises
    CursorError for a row without the cursor, or one of a kind that has no order.
    """
    seen = Counter(position.marks if position else ())
    new: list[Row] = []
    for row in rows:
        if position is not None and value_of(row, cursor) == position.value:
            mark = mark_of(row)
            if seen[mark]:
                seen[mark] -= 1
                continue
        new.append(row)
    if not new:
        return [], position
    last = value_of(new[-1], cursor)
    marks = [mark_of(row) for row in new if value_of(row, cursor) == last]
    if position is not None and position.value == last:
        marks = [*position.marks, *marks]
    return new, Position(last, tuple(marks))


def in_order(rows: Sequence[Row], cursor: str, position: Position | None) -> list[Row]:
    """The rows by rising cursor, without those before the position. Raises CursorError.

    Values are compared as numbers where all are (also written as text), else as ISO times, else
    as text.
    """
    values = [value_of(row, cursor) for row in rows]
    known = [] if position is None else [position.value]
    keys = _comparable([*values, *known])
    first = keys[-1] if known else None
    kept = [
        (key, row) for key, row in zip(keys, rows, strict=False) if first is None or key >= first
    ]
    return [row for _, row in sorted(kept, key=lambda pair: pair[0])]


def value_of(row: Row, cursor: str) -> Any:
    """A row's cursor value. Raises CursorError where there is none."""
    if cursor not in row:
        raise CursorError(
            f"cursor {cursor!r}: no such column; found {', '.join(str(name) for name in row)}"
        )
    value = row[cursor]
    if value is None or value != value:
        raise CursorError(f"cursor {cursor!r}: found a row without it")
    _kind(value)
    return value


def mark_of(row: Row) -> str:
    """16 hexadecimal digits that tell a row from others, whatever order its columns are in."""
    text = "\x1f".join(f"{name}\x1e{row[name]!r}" for name in sorted(row))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        raise CursorError("found true or false as a cursor; expected a number, a time or a text")
    kinds = {int: "int", float: "float", Decimal: "decimal", str: "text"}
    for kind, name in {**kinds, datetime: "time", date: "date"}.items():
        if isinstance(value, kind):
            return name
    raise CursorError(
        f"found a cursor of type {type(value).__name__}; expected a number, a time or a text"
    )


def _comparable(values: Sequence[Any]) -> list[Any]:
    for read in (_as_number, _as_time):
        try:
            return [read(value) for value in values]
        except (ValueError, ArithmeticError):
            continue
    if not all(isinstance(value, str) for value in values):
        raise CursorError("found cursors that cannot be compared: texts among numbers or times")
    return list(values)


def _as_number(value: Any) -> Decimal:
    if isinstance(value, datetime | date):
        raise ValueError("a time is no number")
    return Decimal(str(value))


def _as_time(value: Any) -> datetime:
    found = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found
