"""When the loop takes a problem up by itself: each problem as often as its file says."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

LOOP = "continual"  # the flow that comes by itself
BY_THEMSELVES = (LOOP, "maintain")  # what fails there is tried again without anybody's asking
USUAL = timedelta(seconds=30)
# A run begins a little after it was due, by as much as the machine was busy.
EARLY_SHARE = 0.1


def shortest(every: Iterable[timedelta]) -> timedelta:
    """How often a schedule must come for problems that ask for these; `USUAL` for none."""
    return min(every, default=USUAL)


def is_early(every: timedelta, last_began: datetime | None, due: datetime) -> bool:
    """Whether a turn that was due then comes before the problem wants one.

    One schedule serves all problems, so it comes as often as the most impatient one asks. What
    asks for `USUAL` or less takes each turn that comes.
    """
    if every <= USUAL or last_began is None:
        return False
    return due - last_began < (1 - EARLY_SHARE) * every
