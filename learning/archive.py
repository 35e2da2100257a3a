"""Which former champion may return, before a new model is trained."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from learning.gate_checks import Contest
from learning.performance import glance_at_performance
from learning.problem import Problem

# The newest former champions that are asked.
N_ASKED = 5


def gain_if_returned(contest: Contest, expected: float | None, problem: Problem) -> float:
    """What a former champion, as the contest's challenger, gains over the serving one.

    nan where the rows are too few, and where it is surely worse on them than was ``expected`` of
    it: its world has not returned then, and a new model may be far better than both.
    """
    if len(contest.y) < problem.gate.min_rows:
        return math.nan
    found = glance_at_performance(
        contest.task,
        contest.y,
        contest.challenger,
        contest.threshold,
        problem.performance,
        expected,
    )
    if found.is_below_floor:
        return math.nan
    return contest.pair.gain()


def best_former(gains: Mapping[int, float]) -> int | None:
    """Who gains most over the champion, of names with their gains; None where nobody does.

    A gain that is not defined (nan) is none.
    """
    known = {name: value for name, value in gains.items() if value > 0}
    return max(known, key=lambda name: known[name]) if known else None


def judged_behind(known_then: np.datetime64, changed_at: np.datetime64 | None) -> np.datetime64:
    """The event time behind which rows say whether a former champion is to return.

    Those that were labelled when the champion was trained tell of the world as it was; so do those
    before its errors changed: with them, one whose world has just returned would seem no better.
    """
    if changed_at is None:
        return known_then
    return max(known_then, changed_at.astype("M8[us]") - np.timedelta64(1, "us"))


def look_for(n_asked: int) -> int:
    """The look of the gate at which the best of so many is judged, and the last at it.

    Look k spends 1/2^k of the error that is allowed (`learning.paired.significance_of`), which is
    then no more than its share of as many as were asked (Bonferroni).
    """
    return 1 + math.ceil(math.log2(n_asked))
