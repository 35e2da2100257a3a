"""Columns of the current window beside their reference: one sort each, no p-values yet."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from learning.drift_ks import SortedSamples, ks_statistics
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

CELLS_FOR_THREADS = 250_000
CELLS_AT_ONCE = 2_000_000
ROWS_AT_ONCE = 512  # so that what is read of a copy's rows stays in the processor's cache
COMPARING = 10_000  # comparing a sorted column takes about as long as sorting this many rows

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
    """Looks at all features. The reference's columns are found by name."""
    n = len(features)
    looks = Looks(
        np.zeros((2, n), dtype=np.int64), np.zeros((2, n), dtype=np.int64), np.full(n, np.nan),
        {}, {},
    )  # fmt: skip
    for first, block in _sorted_columns(current, features):
        numbers: dict[int, NumberReference] = {}
        for place, values in enumerate(block, first):
            feature = features[place]
            column = kept.columns.get(feature.name)
            if column is None:
                looks.not_testable[place] = "the reference has no such column"
            elif isinstance(column, NumberReference) != (feature.kind == "numeric"):
                looks.not_testable[place] = "the reference has it as another kind"
            elif isinstance(column, NumberReference):
                numbers[place] = column
            else:
                _look_at_category(looks, place, column, values, feature)
        if numbers:
            _look_at_numbers(looks, numbers, kept, block, first)
    return looks


def _sorted_columns(current: Matrix, features: Sequence[Feature]) -> Iterator[tuple[int, Block]]:
    """Blocks of columns [columns, rows], from the first's place on; numbers are sorted, NaN last.

    A later block may overwrite an earlier one. numpy sorts outside of Python's lock: a thread sorts
    most of the columns at hand while this one sorts some and its caller compares these.
    """
    n_rows, n_columns = len(current), len(features)
    at_once = max(2 * BLOCK_COLUMNS, CELLS_AT_ONCE // max(1, n_rows))
    held = np.empty((min(at_once, n_columns), n_rows), dtype=current.dtype)
    if current.size < CELLS_FOR_THREADS:
        for first in range(0, n_columns, at_once):
            yield first, _sort(current, features, first, held[: n_columns - first])
        return
    # This thread sorts fewer: it compares them while the other one is still at work.
    share_here = n_rows / (2 * n_rows + COMPARING)
    with ThreadPoolExecutor(1) as thread:
        for first in range(0, n_columns, at_once):
            block = held[: n_columns - first]
            n_here = round(len(block) * share_here)
            there = thread.submit(_sort, current, features, first + n_here, block[n_here:])
            yield first, _sort(current, features, first, block[:n_here])
            yield first + n_here, there.result()


def _sort(current: Matrix, features: Sequence[Feature], first: int, block: Block) -> Block:
    """Fill the block with columns from the first's place on, those of numbers sorted."""
    last = first + len(block)
    for row in range(0, len(current), ROWS_AT_ONCE):
        block[:, row : row + ROWS_AT_ONCE] = current[row : row + ROWS_AT_ONCE, first:last].T
    if all(feature.kind == "numeric" for feature in features[first:last]):
        block.sort(axis=1)
        return block
    for feature, values in zip(features[first:last], block, strict=True):
        if feature.kind == "numeric":
            values.sort()
    return block


def _look_at_numbers(
    looks: Looks,
    numbers: Mapping[int, NumberReference],
    kept: ReferenceStatistics,
    block: Block,
    first: int,
) -> None:
    """Those at the given places; the block's columns are sorted and begin at the first place."""
    columns, n_rows = numbers.values(), block.shape[1]
    places = np.array(list(numbers))
    samples = np.array([column.place for column in columns])
    sizes = np.array([known(block[place - first]) for place in numbers])
    looks.known[:, places] = [column.n_known for column in columns], sizes
    looks.missing[:, places] = [column.n_missing for column in columns], n_rows - sizes
    current = SortedSamples(block.ravel(), (places - first) * n_rows, sizes)
    looks.gaps[places] = ks_statistics(kept.samples, samples, current)
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
