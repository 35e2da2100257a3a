"""Live performance of parts of the rows: by category, or by band of a number."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from learning.counted import counted
from learning.metrics import LOWER_IS_BETTER, metric_function
from learning.performance_rules import PerformanceRules, Slice
from learning.problem import Feature, Task
from learning.resampling import bootstrap
from learning.rows import Floats, Matrix

MOST_CATEGORIES = 20
N_RESAMPLES = 100


@dataclass(frozen=True)
class SliceResult:
    """The metric on the rows of one slice; None where they are too few or it is undefined."""

    name: str
    n_rows: int
    value: float | None
    low: float | None
    high: float | None
    is_below_floor: bool


def slice_rows(
    x: Matrix, features: Sequence[Feature], slices: Sequence[Slice]
) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    """Name and rows [n] of each slice of encoded rows ``x`` [n, features] that has any.

    A feature that the served model does not know is left out. Of a category the twenty most
    frequent ones are told apart, the others are one slice.
    """
    places = {feature.name: place for place, feature in enumerate(features)}
    for part in slices:
        if part.by not in places:
            continue
        place = places[part.by]
        column, feature = x[:, place], features[place]
        parts = _bands(column, part) if feature.kind == "numeric" else _categories(column, feature)
        yield from ((name, rows) for name, rows in parts if rows.any())


def _bands(column: NDArray[np.float32], part: Slice) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    edges = part.edges
    yield f"{part.by} < {edges[0]:g}", column < edges[0]
    for low, high in pairwise(edges):
        yield f"{low:g} ≤ {part.by} < {high:g}", (column >= low) & (column < high)
    yield f"{part.by} ≥ {edges[-1]:g}", column >= edges[-1]
    yield f"{part.by} missing", np.isnan(column)


def _categories(
    column: NDArray[np.float32], feature: Feature
) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    for code, category in enumerate(feature.categories[:MOST_CATEGORIES]):
        yield f"{feature.name} = {category}", column == code
    is_other = (column < 0) | (column >= MOST_CATEGORIES)
    yield f"{feature.name} other or missing", is_other


def measure_slices(
    task: Task,
    metric: str,
    y: Floats,
    output: Floats,
    threshold: float,
    parts: Sequence[tuple[str, NDArray[np.bool_]]],
    rules: PerformanceRules,
    floor: float | None,
) -> tuple[SliceResult, ...]:
    """The metric of served outputs [n, classes or 1] against labels [n] on each slice.

    A slice is below the floor when its whole interval is. With many slices some are by chance,
    which is why none of them is a trigger.
    """
    return tuple(
        _measure(task, metric, threshold, name, y[rows], output[rows], rules, floor)
        for name, rows in parts
    )


def _measure(
    task: Task,
    metric: str,
    threshold: float,
    name: str,
    y: Floats,
    output: Floats,
    rules: PerformanceRules,
    floor: float | None,
) -> SliceResult:
    function = metric_function(task, metric, threshold)
    value = function(y, output) if len(y) >= rules.min_rows else math.nan
    if math.isnan(value):
        return SliceResult(name, len(y), None, None, None, False)
    low, high = bootstrap(
        counted(task, metric, y, output, threshold),
        len(y),
        rules.confidence,
        n_resamples=N_RESAMPLES,
    )
    is_below = floor is not None and (low > floor if metric in LOWER_IS_BETTER else high < floor)
    return SliceResult(name, len(y), value, low, high, is_below)
