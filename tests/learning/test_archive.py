"""Which former champion may return, and on which rows it is judged."""

import math

import numpy as np
import pytest

from learning.archive import best_former, gain_if_returned, judged_behind, look_for
from learning.gate_checks import Contest
from learning.gate_rules import GateRules
from learning.paired import significance_of
from learning.performance_rules import PerformanceRules
from storage.problems import SHIPPED, load_problem

RULES = {"performance": PerformanceRules(max_drop=0.05), "gate": GateRules(min_rows=30)}
PROBLEM = load_problem("maintenance", (SHIPPED,)).model_copy(update=RULES)


def contest(n_rows: int, share_right: float) -> Contest:
    """A former champion that ranks so many of the pairs rightly, against one that says nothing."""
    y = np.tile([0.0, 1.0], n_rows // 2)
    # Of the positives all, or all but some, stand above all negatives; the others below.
    n_below = round((1 - share_right) * y.sum())
    score = np.where(y > 0, 0.9, 0.5)
    score[np.flatnonzero(y > 0)[:n_below]] = 0.1
    said = np.column_stack([1 - score, score])
    return Contest(
        task="binary",
        metric="roc_auc",
        y=y,
        challenger=said,
        rival=np.full((len(y), 2), 0.5),
        rival_name="the champion",
    )


def test_who_gains_most_returns_and_nobody_who_gains_nothing() -> None:
    assert best_former({3: 0.02, 2: 0.05, 1: math.nan}) == 2
    assert best_former({3: -0.02, 2: 0.0, 1: math.nan}) is None
    assert best_former({}) is None


@pytest.mark.parametrize("n_asked", range(1, 10))
def test_all_that_are_asked_share_the_error_of_one_look(n_asked: int) -> None:
    assert n_asked * significance_of(look_for(n_asked)) <= significance_of(1)


def test_only_rows_since_the_errors_changed_judge_where_they_did() -> None:
    trained, changed = np.datetime64("2026-03-02T00:00", "us"), np.datetime64("2026-03-05", "us")

    assert judged_behind(trained, None) == trained
    assert judged_behind(trained, np.datetime64("2026-03-01", "us")) == trained
    behind = judged_behind(trained, changed)
    assert behind < changed
    assert not behind < changed - np.timedelta64(1, "us")


def test_a_gain_counts_unless_it_does_surely_worse_than_was_expected() -> None:
    assert gain_if_returned(contest(400, 0.5), None, PROBLEM) == pytest.approx(0.0)
    good = contest(400, 0.8)
    assert gain_if_returned(good, 0.8, PROBLEM) == pytest.approx(0.3)
    assert gain_if_returned(good, 0.86, PROBLEM) == pytest.approx(0.3)  # 0.81 is within chance
    # Better than the champion all the same, but so may be a new model, and more so.
    assert math.isnan(gain_if_returned(good, 0.95, PROBLEM))


def test_too_few_rows_say_nothing() -> None:
    assert math.isnan(gain_if_returned(contest(28, 1.0), 0.9, PROBLEM))
    assert gain_if_returned(contest(30, 1.0), 0.9, PROBLEM) == pytest.approx(0.5)
