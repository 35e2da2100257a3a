"""Columns of the current window beside their reference: one sort each, no p-values yet."""

from __future__ import annotations

import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from learning.drift_reference import (
    BLOCK_COLUMNS,
    CategoryReference,
    ColumnReference,
    NumberReference,
    ReferenceStatistics,
    count_categories,
    known,
)
from learning.drift_tests import ks_statistic
from learning.problem import Feature
from learning.rows import Matrix

THREADS = 2
CELLS_FOR_THREADS = 1_000_000


@dataclass(frozen=True)
class Look:
    """What a column shows beside its reference, before any p-value."""

    n_known: tuple[int, int]
    n_missing: tuple[int, int]
    gap: float = math.nan
    counts: tuple[NDArray[np.int64], NDArray[np.int64]] | None = None
    not_testable: str | None = None


def look_at_all(
    kept: ReferenceStatistics, current: Matrix, features: Sequence[Feature]
) -> list[Look]:
    """One look per feature; numpy sorts outside of Python's lock, so two threads share the work."""

    def look(first: int) -> list[Look]:
        part = features[first : first + BLOCK_COLUMNS]
        block = np.ascontiguousarray(current[:, first : first + len(part)].T)
        return [
            _look(kept.columns.get(feature.name), column, feature)
            for feature, column in zip(part, block, strict=True)
        ]

    starts = range(0, len(features), BLOCK_COLUMNS)
    if current.size < CELLS_FOR_THREADS:
        blocks = map(look, starts)
        return [found for block in blocks for found in block]
    with ThreadPoolExecutor(THREADS) as threads:
        return [found for block in threads.map(look, starts) for found in block]


def _look(column: ColumnReference | None, values: NDArray[np.float32], feature: Feature) -> Look:
    nothing = (0, 0)
    if column is None:
        return Look(nothing, nothing, not_testable="the reference has no such column")
    if isinstance(column, NumberReference) != (feature.kind == "numeric"):
        return Look(nothing, nothing, not_testable="the reference has it as another kind")
    if isinstance(column, NumberReference):
        return _look_at_number(column, values)
    return _look_at_category(column, values, feature)


def _look_at_number(column: NumberReference, values: NDArray[np.float32]) -> Look:
    values.sort()
    n_known = known(values)
    seen = (column.n_known, n_known), (column.n_missing, len(values) - n_known)
    gap = ks_statistic(column.points, column.below, values[:n_known])
    is_constant = len(column.points) == 1 and n_known > 0 and values[0] == values[n_known - 1]
    if not any(seen[0]):
        return Look(*seen, not_testable="all values are missing")
    share = [m / (k + m) for k, m in zip(*seen, strict=True)]
    if is_constant and gap == 0 and share[0] == share[1]:
        return Look(*seen, gap, not_testable="constant, and the same")
    return Look(*seen, gap)


def _look_at_category(
    column: CategoryReference, values: NDArray[np.float32], feature: Feature
) -> Look:
    counts = count_categories(values, len(feature.categories))
    before = _in_order(column, feature.categories)
    seen = (int(before.sum()), len(values)), (int(before[-1]), int(counts[-1]))
    if np.count_nonzero(before + counts) < 2:
        return Look(*seen, not_testable="only one category on both sides")
    return Look(*seen, counts=(before, counts))


def _in_order(column: CategoryReference, categories: tuple[str, ...]) -> NDArray[np.int64]:
    """The reference's counts in the order of today's categories; what is not among them is last."""
    if column.categories == categories:
        return column.counts
    counts = dict(zip(column.categories, column.counts[:-1].tolist(), strict=True))
    known_now = [counts.pop(name, 0) for name in categories]
    return np.array([*known_now, sum(counts.values()) + int(column.counts[-1])])
