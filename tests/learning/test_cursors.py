"""Positions: each row is new once, however pages divide rows of one cursor value."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from learning.cursors import CursorError, Position, advance, in_order


@given(
    st.lists(st.tuples(st.integers(0, 4), st.integers(0, 2)), max_size=30),
    st.integers(1, 4),
    st.randoms(use_true_random=False),
)
def test_pages_of_any_size_give_each_row_once(
    values: list[tuple[int, int]], size: int, chance: Any
) -> None:
    """A source that answers from the position's value on, ties in any order, equal rows too."""
    rows = [{"at": at, "x": x} for at, x in values]
    read: list[dict[str, Any]] = []
    position: Position | None = None
    while True:
        chance.shuffle(rows)
        start = None if position is None else position.value
        behind = sorted(
            (row for row in rows if start is None or row["at"] >= start), key=lambda r: r["at"]
        )
        page = behind[: size + (len(position.marks) if position else 0)]
        new, position = advance(page, "at", position)
        if not new:
            break
        read += new
        assert position is not None
        position = Position.of_json(json.loads(json.dumps(position.as_json())))
    assert sorted(map(str, read)) == sorted(map(str, rows))


@pytest.mark.parametrize(
    "value",
    [7, -1, 2.5, 1e300, 0.1, Decimal("1.10"), "a'b", "", datetime(2026, 1, 1, 1, 2, 3, 4, UTC),
     datetime(2026, 1, 1), date(2026, 1, 1)],  # noqa: DTZ001
)  # fmt: skip
def test_a_position_survives_json(value: Any) -> None:
    position = Position(value, ("aa",))
    found = Position.of_json(json.loads(json.dumps(position.as_json())))
    assert found == position
    assert type(found.value) is type(value)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([10, 9, 2.5], [2.5, 9, 10]),
        (["10", "9"], ["9", "10"]),
        (
            ["2026-01-01T00:00:00.5Z", "2026-01-01T00:00:00Z", "2026-01-01T02:00:00+03:00"],
            ["2026-01-01T02:00:00+03:00", "2026-01-01T00:00:00Z", "2026-01-01T00:00:00.5Z"],
        ),
        (["b", "a10", "a9"], ["a10", "a9", "b"]),
    ],
)
def test_rows_are_ordered_by_what_their_cursor_means(values: list[Any], expected: Any) -> None:
    found = in_order([{"at": value} for value in values], "at", None)
    assert [row["at"] for row in found] == expected


def test_rows_before_the_position_were_read() -> None:
    rows = [{"at": str(value)} for value in (8, 9, 10, 11)]
    assert in_order(rows, "at", Position("10")) == rows[2:]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"x": 1}, "cursor 'at': no such column; found x"),
        ({"at": None}, "found a row without it"),
        ({"at": float("nan")}, "found a row without it"),
        ({"at": True}, "found true or false as a cursor"),
        ({"at": b"1"}, "a cursor of type bytes"),
    ],
)
def test_a_row_without_a_usable_cursor_is_named(row: Any, said: str) -> None:
    with pytest.raises(CursorError, match=said):
        advance([row], "at", None)


def test_values_that_cannot_be_compared_are_named() -> None:
    with pytest.raises(CursorError, match="cannot be compared"):
        in_order([{"at": 1}, {"at": "x"}], "at", None)
