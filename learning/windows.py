"""Which rows train a challenger, and which newer ones judge it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from learning.problem import Windows
from learning.rows import Rows

FADING = "fading"
WINDOW_SHARES = {"all": 1.0, "recent": 0.3, "newest": 0.05, FADING: 1.0}
# Share of the rows after which a fading window's rows weigh half as much.
FADING_HALF_LIFE = 0.2
# Rows that fewer would leave too little weight to learn from.
SMALLEST_HALF_LIFE = 100
SMALLEST_WINDOW = 200
SMALLEST_CHANGED = 40


@dataclass(frozen=True)
class Split:
    """Labelled rows up to a point in time, and the newest ones behind it as the holdout."""

    training: Rows
    holdout: Rows


def split_holdout(
    rows: Rows,
    champion_end: np.datetime64 | None,
    windows: Windows,
    min_rows: int,
    changed_at: np.datetime64 | None = None,
) -> Split:
    """Split labelled rows by time; neither champion nor challenger has trained on the holdout.

    The holdout is a share of the rows that are newer than the champion's training window (of all
    rows when there is no champion), at most ``windows.holdout_rows`` but at least ``min_rows``.
    Where the champion's errors ``changed_at`` a time behind it, the share is of the rows since, or
    the holdout would keep from training most of what is known of how things are now.
    Rows of one time are never divided: the cut moves to the nearest change of time, so that the
    holdout may be a little smaller (never under ``min_rows``) or larger.
    """
    start = 0 if champion_end is None else int(np.searchsorted(rows.times, champion_end, "right"))
    n_new = len(rows) - start
    n_share = n_new if changed_at is None else min(n_new, count_since(rows, changed_at))
    share = min(int(n_share * windows.holdout_share), windows.holdout_rows)
    cut = len(rows) - min(max(share, min_rows), n_new)
    if 0 < cut < len(rows):
        left, right = (
            int(np.searchsorted(rows.times, rows.times[cut], side)) for side in ("left", "right")
        )
        is_right_nearer = right - cut < cut - left or left == 0
        cut = right if is_right_nearer and len(rows) - right >= min_rows else left
    training = rows.part(slice(max(0, cut - windows.training_rows), cut))
    return Split(training, rows.part(slice(cut, None)))


def count_since(rows: Rows, changed_at: np.datetime64) -> int:
    """How many rows are of that time or later."""
    return len(rows) - int(np.searchsorted(rows.times, changed_at, "left"))


def window_size(rows: Rows, window: str, changed_at: np.datetime64 | None = None) -> int | None:
    """How many of the newest rows a window's name stands for: a share of them, but 200 or more.

    ``changed`` is what came since the change; None without one, or with fewer than 40 rows since.
    """
    if window != "changed":
        return min(max(int(len(rows) * WINDOW_SHARES[window]), SMALLEST_WINDOW), len(rows))
    n_since = 0 if changed_at is None else count_since(rows, changed_at)
    return n_since if n_since >= SMALLEST_CHANGED else None


def rows_learnt(n_rows: int, window: str) -> int:
    """How many rows a fit on a window of ``n_rows`` rests on, by their weights.

    With weights that fade by halves the sum of all is that of so many equal ones.
    """
    if window != FADING:
        return n_rows
    return min(n_rows, round(max(FADING_HALF_LIFE * n_rows, SMALLEST_HALF_LIFE) / math.log(2)))


def take_window(rows: Rows, window: str, changed_at: np.datetime64 | None = None) -> Rows:
    """The newest rows that a window's name stands for; none where `window_size` is None."""
    size = window_size(rows, window, changed_at) or 0
    return rows.part(slice(len(rows) - size, None))


def split_trusted(
    rows: Rows,
    trains: NDArray[np.bool_],
    judges: NDArray[np.bool_],
    champion_end: np.datetime64 | None,
    windows: Windows,
    min_rows: int,
    changed_at: np.datetime64 | None = None,
) -> Split:
    """As `split_holdout`, of rows [n] of which only some may train and only some may judge.

    The newest judges are the holdout; what may train and lies before all of them is trained on.
    """
    judging = split_holdout(rows.part(judges), champion_end, windows, min_rows, changed_at).holdout
    before = trains & (rows.times < judging.times[0]) if len(judging) else trains
    training = rows.part(before)
    newest = slice(max(0, len(training) - windows.training_rows), None)
    return Split(training.part(newest), judging)
