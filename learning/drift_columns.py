"""Columns of the current window beside their reference: one sort each, no p-values yet."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from learning.drift_ks import ks_statistics
from learning.drift_reference import (
    BLOCK_COLUMNS,
    CategoryReference,
    NumberReference,
    ReferenceStatistics,
    known,
)
from learning.drift_shapes import count_categories
from learning.problem import Feature
from learning.rows import Floats, Matrix

THREADS = 2
CELLS_FOR_THREADS = 250_000
CELLS_AT_ONCE = 1_000_000

Counts = NDArray[np.int64]
Block = NDArray[np.float32]


@dataclass(frozen=True)
class Looks:
    """What the columns show beside their reference, before any p-value.

    ``known`` and ``missing`` count rows [2, features] of the reference and of the window, ``gaps``
    are KS statistics [features], nan where there is none. By the feature's place, ``counts`` are
    rows by category on both sides, and ``not_testable`` says why a column is none to test.
    """

    known: Counts
    missing: Counts
    gaps: Floats
    counts: dict[int, tuple[Counts, Counts]]
    not_testable: dict[int, str]


def look_at_all(kept: ReferenceStatistics, current: Matrix, features: Sequence[Feature]) -> Looks:
    """Looks at all features. The reference's columns are found by name.

    numpy sorts outside of Python's lock: threads sort what comes next while this one compares.
    """
    n = len(features)
    looks = Looks(
        np.zeros((2, n), dtype=np.int64), np.zeros((2, n), dtype=np.int64), np.full(n, np.nan),
        {}, {},
    )  # fmt: skip
    for first, columns in _sorted_columns(current, features):
        numbers: list[tuple[int, NumberReference, Block]] = []
        for place, values in enumerate(columns, first):
            feature = features[place]
            column = kept.columns.get(feature.name)
            if column is None:
                looks.not_testable[place] = "the reference has no such column"
            elif isinstance(column, NumberReference) != (feature.kind == "numeric"):
                looks.not_testable[place] = "the reference has it as another kind"
            elif isinstance(column, NumberReference):
                numbers.append((place, column, values[: known(values)]))
            else:
                _look_at_category(looks, place, column, values, feature)
        _look_at_numbers(looks, numbers, kept, len(current))
    return looks


def _sorted_columns(
    current: Matrix, features: Sequence[Feature]
) -> Iterator[tuple[int, list[Block]]]:
    """Copies of columns, from the first's place on; those of numbers are sorted, NaN last.

    A few columns at once where the window is long: no more than three such parts are held.
    """
    n_blocks = max(1, CELLS_AT_ONCE // (BLOCK_COLUMNS * max(1, len(current))))

    def block(first: int) -> Block:
        part = features[first : first + BLOCK_COLUMNS]
        columns = np.array(current[:, first : first + len(part)].T, order="C")
        if all(feature.kind == "numeric" for feature in part):
            columns.sort(axis=1)
            return columns
        for feature, values in zip(part, columns, strict=True):
            if feature.kind == "numeric":
                values.sort()
        return columns

    starts = list(range(0, len(features), BLOCK_COLUMNS))
    parts = [starts[i : i + n_blocks] for i in range(0, len(starts), n_blocks)]
    if current.size < CELLS_FOR_THREADS:
        for part in parts:
            yield part[0], [values for first in part for values in block(first)]
        return
    waiting: deque[tuple[int, list[Future[Block]]]] = deque()
    with ThreadPoolExecutor(THREADS) as threads:
        for part in [*parts, [], []]:
            if part:
                waiting.append((part[0], [threads.submit(block, first) for first in part]))
            if len(waiting) > 2 or (waiting and not part):
                first, blocks = waiting.popleft()
                yield first, [values for one in blocks for values in one.result()]


def _look_at_numbers(
    looks: Looks,
    numbers: Sequence[tuple[int, NumberReference, Block]],
    kept: ReferenceStatistics,
    n_rows: int,
) -> None:
    if not numbers:
        return
    places = np.array([place for place, _, _ in numbers])
    samples = np.array([column.place for _, column, _ in numbers])
    looks.known[:, places] = [c.n_known for _, c, _ in numbers], [len(v) for *_, v in numbers]
    looks.missing[0, places] = [column.n_missing for _, column, _ in numbers]
    looks.missing[1, places] = n_rows - looks.known[1, places]
    looks.gaps[places] = ks_statistics(kept.samples, samples, [v for *_, v in numbers])
    share = looks.missing[:, places] / np.maximum((looks.missing + looks.known)[:, places], 1)
    # One point, and no difference to it: the current window is constant as well.
    is_constant = (kept.samples.n_points[samples] == 1) & (looks.gaps[places] == 0)
    for place in places[is_constant & (share[0] == share[1])].tolist():
        looks.not_testable[place] = "constant, and the same"
    for place in places[~looks.known[:, places].any(axis=0)].tolist():
        looks.not_testable[place] = "all values are missing"


def _look_at_category(
    looks: Looks, place: int, column: CategoryReference, values: Block, feature: Feature
) -> None:
    counts = count_categories(values, len(feature.categories))
    before = _in_order(column, feature.categories)
    looks.known[:, place] = before.sum(), len(values)
    looks.missing[:, place] = before[-1], counts[-1]
    if np.count_nonzero(before + counts) < 2:
        looks.not_testable[place] = "only one category on both sides"
    else:
        looks.counts[place] = before, counts


def _in_order(column: CategoryReference, categories: tuple[str, ...]) -> Counts:
    """The reference's counts in the order of today's categories; what is not among them is last."""
    if column.categories == categories:
        return column.counts
    counts = dict(zip(column.categories, column.counts[:-1].tolist(), strict=True))
    known_now = [counts.pop(name, 0) for name in categories]
    return np.array([*known_now, sum(counts.values()) + int(column.counts[-1])])
