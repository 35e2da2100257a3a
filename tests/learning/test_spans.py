from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from learning.spans import Span


@pytest.mark.parametrize(
    ("text", "span"),
    [
        (500, Span(rows=500)),
        (0, Span(rows=0)),
        ("500", Span(rows=500)),
        ("500 rows", Span(rows=500)),
        ("1 row", Span(rows=1)),
        ("30s", Span(time=timedelta(seconds=30))),
        ("5m", Span(time=timedelta(minutes=5))),
        ("12h", Span(time=timedelta(hours=12))),
        ("1.5d", Span(time=timedelta(hours=36))),
        (" 2 w ", Span(time=timedelta(weeks=2))),
        (timedelta(days=1), Span(time=timedelta(days=1))),
        (Span(rows=3), Span(rows=3)),
    ],
)
def test_rows_and_times_are_understood(text: object, span: Span) -> None:
    assert Span.parse(text) == span


BAD = ("", "7 days", "-5", -5, "5y", True, None, 1.5, timedelta(-1), "d")


@pytest.mark.parametrize("text", BAD)
def test_anything_else_is_refused_with_the_forms_that_are_understood(text: object) -> None:
    with pytest.raises(ValueError, match=r"expected a number of rows \(500\) or a time"):
        Span.parse(text)


def test_a_time_longer_than_python_knows_is_refused() -> None:
    with pytest.raises(ValueError, match="expected less than"):
        Span.parse("99999999999w")


@pytest.mark.parametrize(
    ("span", "text"),
    [
        (Span(rows=500), "500 rows"),
        (Span(time=timedelta(days=30)), "30d"),
        (Span(time=timedelta(days=7)), "1w"),
        (Span(time=timedelta(minutes=90)), "90m"),
        (Span(time=timedelta(seconds=1_234_567)), "1234567s"),
        (Span(time=timedelta(milliseconds=500)), "0.5s"),
        (Span(time=timedelta(0)), "0s"),
    ],
)
def test_a_span_is_written_in_the_largest_unit_that_is_exact(span: Span, text: str) -> None:
    assert str(span) == text


@given(st.integers(0, 10**9))
def test_rows_survive_writing_and_reading(rows: int) -> None:
    assert Span.parse(str(Span(rows=rows))) == Span(rows=rows)


@given(st.timedeltas(min_value=timedelta(0), max_value=timedelta(days=36_500)))
def test_times_survive_writing_and_reading(time: timedelta) -> None:
    assert Span.parse(str(Span(time=time))) == Span(time=time)
