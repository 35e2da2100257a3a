"""What the loop's past attempts mean for the next one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from learning.attempts import (
    Attempt,
    Counts,
    count_unused,
    counted,
    look_at_signals,
    retrain_state,
)
from learning.decision_windows import Window
from learning.performance import PerformanceResult
from tests.factories import small_problem

NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)


def attempt(state: str, hours_ago: float = 1, **rest: object) -> Attempt:
    return Attempt(state, NOW - timedelta(hours=hours_ago), **rest)  # type: ignore[arg-type]


@pytest.mark.parametrize(("n_dead", "n_counted"), [(0, 1), (1, 1), (2, 1), (3, 4)])
def test_killed_attempts_are_forgiven_twice(n_dead: int, n_counted: int) -> None:
    attempts = [attempt("abandoned") for _ in range(n_dead)] + [attempt("refused")]

    assert len(counted(attempts)) == n_counted


def test_rows_are_used_up_by_the_newest_attempt_that_counts() -> None:
    past = [attempt("abandoned", n_labelled=900), attempt("refused", n_labelled=700)]

    assert count_unused(past, 1_000) == 300
    assert count_unused([], 1_000) == 1_000


def test_refusals_in_a_row_end_at_the_last_promotion_and_pass_over_the_undecided() -> None:
    past = [
        attempt("waiting", 1, trigger="drift", version=6),
        attempt("refused", 2, trigger="volume"),
        attempt("superseded", 3, trigger="age"),
        attempt("refused", 30, trigger="drift"),
        attempt("champion", 40, trigger="performance"),
        attempt("refused", 50, trigger="age"),
    ]

    state = retrain_state(past, True, NOW, NOW)

    assert (state.refusals_in_a_row, state.refused_triggers) == (2, ("drift", "volume"))
    assert (state.waiting_version, state.waiting_trigger) == (6, "drift")
    assert state.attempts_today == 3
    assert state.last_attempt == past[0].clock


def test_a_signal_without_a_verdict_opens_no_window() -> None:
    problem = small_problem()
    unknown = PerformanceResult("roc_auc", None, None, None, 20, 0.9, False, {}, "too few")
    low = PerformanceResult("roc_auc", 0.5, 0.4, 0.6, 200, 0.9, True, {}, "low")
    looks = {"drift": (Window(100, True),)}

    before = look_at_signals(looks, Counts(300, 200, 300), problem, None, unknown, None)
    after = look_at_signals(before, Counts(400, 300, 400), problem, None, low, None)

    assert before == {"drift": (Window(100, True),), "performance": (), "estimate": ()}
    assert after["performance"] == (Window(300, True),)
