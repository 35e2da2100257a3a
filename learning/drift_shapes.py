"""The shape of a column in a few counts, so that a past check can be looked at later."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

N_BINS = 12


def edges_of(points: NDArray[np.float32], below: NDArray[np.integer[Any]]) -> NDArray[np.float32]:
    """Edges between bins that hold about as many reference rows each, ascending and distinct.

    ``points`` are the distinct known values, ascending, ``below`` how many rows are not above
    each. They are order statistics, so that the same rows always give the same edges. Empty when
    no value is known.
    """
    if not len(points):
        return np.empty(0, dtype=np.float32)
    n = int(below[-1])
    ranks = np.linspace(0, n - 1, N_BINS + 1).astype(np.int64)
    return np.unique(points[np.searchsorted(below, ranks, side="right")])


def edges_of_column(column: NDArray[np.float32]) -> NDArray[np.float32]:
    """The same of a column [n]; NaN is missing."""
    points, counts = np.unique(column[~np.isnan(column)], return_counts=True)
    return edges_of(points.astype(np.float32), np.cumsum(counts).astype(np.int64))


def count_numbers(column: NDArray[np.float32], edges: NDArray[np.float32]) -> list[int]:
    """Rows of a column [n] below the first edge, in each bin, above the last edge, and missing.

    A bin holds its lower edge; the last one holds both. With one edge there is one bin, of that
    very value. With none there are no bins and everything known is above.
    """
    n_missing = int(np.isnan(column).sum())
    if not len(edges):
        return [0, len(column) - n_missing, n_missing]
    place = np.searchsorted(edges, column, side="right")  # NaN stands behind the last edge
    n_below, *bins, n_behind = (int(n) for n in np.bincount(place, minlength=len(edges) + 1))
    n_last = int((column == edges[-1]).sum())
    bins = [*bins[:-1], bins[-1] + n_last] if bins else [n_last]
    return [n_below, *bins, n_behind - n_last - n_missing, n_missing]


def count_categories(codes: NDArray[np.float32], n_categories: int) -> NDArray[np.int64]:
    """Rows by category; what is no category's index (-1, NaN) is counted last."""
    with np.errstate(invalid="ignore"):
        is_known = (codes >= 0) & (codes < n_categories)
        index = np.where(is_known, codes, n_categories).astype(np.int64)
    return np.bincount(index, minlength=n_categories + 1)
