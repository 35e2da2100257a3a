"""Since when are a model's errors others than before? The last change in a stream of errors."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from learning.drift_online import row_errors
from learning.problem import Task
from learning.rows import Floats, Rows

# Errors that are looked through, the newest, and the fewest on either side of a change.
MOST_ERRORS, FEWEST_ERRORS = 5_000, 30
# The largest value that a Brownian bridge reaches in a thousandth of all cases (Smirnov 1948).
CRITICAL = 1.95


def changed_at(task: Task, rows: Rows, output: Floats) -> np.datetime64 | None:
    """Since when the answers [n, classes or 1] to labelled rows are wrong more than before.

    None where they are not, or nobody can tell.
    """
    place = last_rise(row_errors(task, rows.y, output))
    if place is None:
        return None
    time: np.datetime64 = rows.times[place]
    return time


def first_change(found: Iterable[np.datetime64 | None]) -> np.datetime64 | None:
    """The first change that a model found, of several asked one after another; None where none did.

    A champion that was made in the midst of a change is wrong all the same behind it, and so young
    that nothing can be seen; those before it saw the change come. They are asked newest first.
    """
    return next((change for change in found if change is not None), None)


def last_rise(errors: Floats) -> int | None:
    """The row of the last change of the mean, if it rose there; None where nothing changed.

    The stream is cut where the cumulated deviation from its mean is largest, if that is beyond
    what free rows give in 999 of 1,000 cases (Page 1955), and what is behind the cut is looked at
    again. It finds the place of a change, where ADWIN is quick to tell that there was one.
    """
    start, before = 0, math.nan
    while (cut := _cut(errors[start:])) is not None:
        before = float(errors[start : start + cut].mean())
        start += cut
    return start if start and errors[start:].mean() > before else None


def _cut(errors: Floats) -> int | None:
    n = len(errors)
    if n < 2 * FEWEST_ERRORS:
        return None
    away = np.abs(np.cumsum(errors - errors.mean()))[FEWEST_ERRORS - 1 : n - FEWEST_ERRORS]
    place = int(away.argmax())
    cut = place + FEWEST_ERRORS
    # The spread within both sides: a change itself must not widen what it is measured by.
    within = math.sqrt((errors[:cut].var() * cut + errors[cut:].var() * (n - cut)) / n)
    rounding = 1e-9 * n
    return cut if away[place] > CRITICAL * within * math.sqrt(n) + rounding else None
