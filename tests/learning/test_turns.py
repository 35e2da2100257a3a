"""How often the loop takes a problem up."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from learning.turns import USUAL, is_early, shortest

DUE = datetime(2026, 1, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def test_the_schedule_comes_as_often_as_the_most_impatient_problem_asks() -> None:
    assert shortest([HOUR, timedelta(minutes=5)]) == timedelta(minutes=5)
    assert shortest([]) == USUAL


@pytest.mark.parametrize(
    ("every", "minutes_ago", "early"),
    [
        (HOUR, 59, False),  # it began a minute late
        (HOUR, 54, False),
        (HOUR, 53, True),
        (HOUR, 300, False),
        (USUAL, 0, False),
        (timedelta(seconds=5), 0, False),
    ],
)
def test_a_turn_is_early_when_less_than_nine_tenths_of_the_time_have_passed(
    every: timedelta, minutes_ago: float, early: bool
) -> None:
    assert is_early(every, DUE - timedelta(minutes=minutes_ago), DUE) is early


def test_a_first_turn_is_never_early() -> None:
    assert not is_early(HOUR, None, DUE)
