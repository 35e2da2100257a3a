"""Where a model is good and where it is not: by slice, by time, and what its errors would cost."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from learning.metrics import expected_cost, metric_function
from learning.performance_rules import Slice
from learning.performance_slices import slice_rows
from learning.problem import Costs, Problem
from learning.rows import Floats, Rows, Schema

N_BLOCKS, LEAST_ROWS = 8, 30
N_THRESHOLDS = 41
MOST_SLICED = 3


def evaluation_parts(
    rows: Rows,
    output: Floats,
    schema: Schema,
    problem: Problem,
    metric: str,
    threshold: float,
    importance: Mapping[str, float],
) -> dict[str, Any]:
    """The metric by slice and by block of time, and for two classes the cost of each threshold.

    ``output`` [n, classes or 1] are answers to ``rows``. Slices are the problem file's, or else
    the categories of the most important categorical features. A part in which the metric is not
    defined, or with fewer than 30 rows, has the value None.
    """
    function = metric_function(schema.task, metric, threshold)

    def value(y: Floats, of_rows: Floats) -> float | None:
        found = function(y, of_rows) if len(y) >= LEAST_ROWS else math.nan
        return float(f"{found:.5g}") if math.isfinite(found) else None

    parts = slice_rows(rows.x, schema.features, _slices(schema, problem, importance))
    found: dict[str, Any] = {
        "metric": metric,
        "slices": [
            {"name": name, "n_rows": int(own.sum()), "value": value(rows.y[own], output[own])}
            for name, own in parts
        ],
        "blocks": [
            {
                "start": str(rows.times[block[0]]),
                "end": str(rows.times[block[-1]]),
                "n_rows": len(block),
                "value": value(rows.y[block], output[block]),
            }
            for block in _blocks(len(rows))
        ],
    }
    if schema.task == "binary" and len(rows):
        found["cost"] = cost_curve(rows.y, output[:, 1], problem.costs)
    return found


def cost_curve(y: Floats, probability: Floats, costs: Costs) -> dict[str, list[float]]:
    """Mean cost of a row's errors at thresholds from 0 to 1, in the problem file's units."""
    thresholds = np.linspace(0, 1, N_THRESHOLDS)
    found = [expected_cost(y, probability >= cut, costs) for cut in thresholds]
    return {"x": thresholds.round(3).tolist(), "y": [float(f"{cost:.5g}") for cost in found]}


def _blocks(n_rows: int) -> list[np.ndarray]:
    n_blocks = min(N_BLOCKS, n_rows // LEAST_ROWS)
    return np.array_split(np.arange(n_rows), n_blocks) if n_blocks else []


def _slices(schema: Schema, problem: Problem, importance: Mapping[str, float]) -> Sequence[Slice]:
    if problem.slices:
        return problem.slices
    categorical = [f.name for f in schema.features if f.kind == "categorical" and f.categories]
    categorical.sort(key=lambda name: -importance.get(name, 0.0))
    return [Slice(by=name) for name in categorical[:MOST_SLICED]]
