"""The estimate without labels, as a replay makes it from a model that is at hand."""

from __future__ import annotations

import math

from learning.estimate import (
    EstimateResult,
    estimate_by_confidence,
    estimate_by_loss,
    judge_estimate,
)
from learning.loss_model import loss_kind
from learning.onnx_export import run_graph
from learning.performance import chosen_metric, performance_floor
from learning.problem import PerformanceRules
from learning.replay_stream import Stream
from learning.rows import Floats, Matrix
from learning.training import Challenger


def estimate_newest(
    made: Challenger,
    x: Matrix,
    output: Floats,
    stream: Stream,
    rules: PerformanceRules,
    expected: float | None,
) -> EstimateResult:
    """The metric that the newest answers [n, classes or 1] to ``x`` will probably have."""
    task = stream.schema.task
    metric = chosen_metric(task, rules)
    floor = performance_floor(task, rules, expected)
    numbers = (math.nan, math.nan, math.nan)
    if len(x) >= rules.min_rows and made.scalings:
        numbers = estimate_by_confidence(
            task, metric, output, made.threshold, made.scalings, rules.confidence
        )
    elif len(x) >= rules.min_rows and made.loss is not None and made.loss.kind == loss_kind(metric):
        losses = run_graph(made.loss.graph, x)[:, 0].astype("float64")
        spread, n_known = made.loss.spread, made.loss.n_rows
        numbers = estimate_by_loss(metric, losses, spread, n_known, rules.confidence)
    return judge_estimate(metric, numbers, len(x), rules, floor)
