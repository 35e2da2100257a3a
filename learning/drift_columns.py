"""Columns of the current window beside their reference: one sort each, no p-values yet."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
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
    known,
)
from learning.drift_shapes import count_categories
from learning.drift_tests import ks_statistics
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
        return _look_at_block(kept, block, part)

    starts = range(0, len(features), BLOCK_COLUMNS)
    if current.size < CELLS_FOR_THREADS:
        return [found for first in starts for found in look(first)]
    with ThreadPoolExecutor(THREADS) as threads:
        return [found for block in threads.map(look, starts) for found in block]


def _look_at_block(
    kept: ReferenceStatistics, block: NDArray[np.float32], features: Sequence[Feature]
) -> list[Look]:
    """Looks at columns [features, rows], each of which is sorted in place where it is a number."""
    references = [kept.columns.get(feature.name) for feature in features]
    samples, sorted_values = [], []
    for column, values, feature in zip(references, block, features, strict=True):
        if isinstance(column, NumberReference) and feature.kind == "numeric":
            values.sort()
            samples.append(column.sample)
            sorted_values.append(values[: known(values)])
    gaps = iter(ks_statistics(samples, sorted_values).tolist())
    return [
        _look(column, values, feature, gaps)
        for column, values, feature in zip(references, block, features, strict=True)
    ]


def _look(
    column: ColumnReference | None,
    values: NDArray[np.float32],
    feature: Feature,
    gaps: Iterator[float],
) -> Look:
    nothing = (0, 0)
    if column is None:
        return Look(nothing, nothing, not_testable="the reference has no such column")
    if isinstance(column, NumberReference) != (feature.kind == "numeric"):
        return Look(nothing, nothing, not_testable="the reference has it as another kind")
    if isinstance(column, NumberReference):
        return _look_at_number(column, len(values), known(values), next(gaps))
    return _look_at_category(column, values, feature)


def _look_at_number(column: NumberReference, n_rows: int, n_known: int, gap: float) -> Look:
    seen = (column.n_known, n_known), (column.n_missing, n_rows - n_known)
    if not any(seen[0]):
        return Look(*seen, not_testable="all values are missing")
    share = [m / (k + m) for k, m in zip(*seen, strict=True)]
    # One point, and no difference to it: the current window is constant as well.
    if len(column.sample.points) == 1 and gap == 0 and share[0] == share[1]:
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
