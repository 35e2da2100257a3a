"""Training a challenger: window, search, final fit, threshold, ONNX and parity."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from learning.calibration import Scaling, fit_scalings, helpful_scaling
from learning.decision import HARM
from learning.exam import is_exam
from learning.loss_model import LossModel, fit_loss_model
from learning.metrics import LOWER_IS_BETTER, all_metrics, metric_function
from learning.models import Fitted, TrainingError, fit
from learning.onnx_export import Parity, check_parity, export, parity_rows
from learning.performance import chosen_metric
from learning.problem import Costs, Problem
from learning.rows import Floats, Matrix, Rows, Schema
from learning.search import Candidate, Contestants, SearchResult, Trial, search, thin
from learning.windows import Split, split_trusted, take_window

PARITY_ROWS = 10_000
SMALLEST_BLOCK = 30
# The labelled rows grow by this factor before kinds and settings are searched for again.
RESEARCHED, RESEARCHED_AFTER_HARM = 2.0, 1.5
# Triggers that say nothing against the champion's kind and settings.
ROUTINE = ("drift", "volume", "age")
N_SHUFFLES, MOST_SHUFFLED = 2, 200_000


@dataclass(frozen=True)
class Challenger:
    """A fitted model with its proof: graph, parity, and what it scored on the holdout.

    ``searched_rows`` are the labelled rows that there were when its kind and settings were searched
    for. ``scalings`` and ``loss`` are what its performance is estimated with while labels are
    missing; ``expected`` is the value of ``metric`` that it should reach live.
    """

    fitted: Fitted
    graph: bytes
    parity: Parity
    threshold: float
    window: str
    training: Rows
    holdout: Rows
    output: Floats
    dummy_output: Floats
    metric: str
    metrics: dict[str, float]
    search: SearchResult
    searched_rows: int
    scalings: tuple[Scaling, ...] = ()
    loss: LossModel | None = None
    expected: float | None = None


def train_challenger(
    rows: Rows,
    champion_end: np.datetime64 | None,
    problem: Problem,
    schema: Schema,
    elapsed: Callable[[], float],
    on_trial: Callable[[Trial], None] = lambda _trial: None,
    may: tuple[NDArray[np.bool_], NDArray[np.bool_]] | None = None,
    with_graph: bool = True,
    changed_at: np.datetime64 | None = None,
    first: Candidate | None = None,
    searched_rows: int | None = None,
) -> Challenger:
    """Train on the labelled rows and evaluate on the newest of them, which no model has seen.

    ``may``: which of the rows [n] may train, and which may judge; all unless it is given. Of those
    that may train, ``gate.backtest_share`` are kept from it. ``changed_at`` is since when the
    champion's errors are others, ``first`` the candidate that it once was, tried before all
    others. ``searched_rows`` says how many labelled rows there were when that was searched
    for, where `needs_search` says no: it is then only fitted again, on the window that is best
    now. Without a graph there is nothing to serve, its parity was looked at on no rows, and what
    only estimates need is left out unless they may retrain.
    Raises TrainingError when the rows cannot train a model.
    """
    split = _split(rows, champion_end, problem, may, changed_at)
    metric = chosen_metric(schema.task, problem.performance)
    refuse_untrainable(split, schema, problem)
    block = max(SMALLEST_BLOCK, min(len(split.holdout), len(split.training) // 5))
    rules = problem.search
    is_refit = first is not None and searched_rows is not None
    contest = Contestants(split.training, schema, rules, metric, block, changed_at, first, is_refit)
    found = search(contest, elapsed, on_trial)
    best = found.best
    training = take_window(split.training, best.window, changed_at)
    fitted = fit(best.kind, best.parameters, training, schema, problem.search.seed)
    dummy = fit("dummy", {}, training, schema)
    settled = settle(fitted, training, schema, problem, block)
    fitted, threshold = settled.fitted, settled.threshold
    graph, parity = b"", Parity(0, 0.0, problem.gate.max_parity_difference)
    if with_graph:
        graph, parity = _proven(fitted, np.vstack([training.x, split.holdout.x]), schema, problem)
    output = fitted.output(split.holdout.x)
    is_estimated = with_graph or problem.retrain.on_estimate
    scalings, loss = _estimators(split.holdout, output, schema, metric, problem, is_estimated)
    return Challenger(
        fitted=fitted,
        graph=graph,
        parity=parity,
        threshold=threshold,
        window=best.window,
        training=training,
        holdout=split.holdout,
        output=output,
        dummy_output=dummy.output(split.holdout.x),
        metric=metric,
        metrics=all_metrics(schema.task, split.holdout.y, output, threshold, problem.costs),
        search=found,
        searched_rows=searched_rows if is_refit and searched_rows else len(rows),
        scalings=scalings,
        loss=loss,
    )


def _proven(fitted: Fitted, x: Matrix, schema: Schema, problem: Problem) -> tuple[bytes, Parity]:
    """The model as a graph, and how far its answers are from the model's own on some of ``x``."""
    graph = export(fitted, len(schema.features))
    probe = parity_rows(x, PARITY_ROWS)
    return graph, check_parity(fitted, graph, probe, problem.gate.max_parity_difference)


def _estimators(
    holdout: Rows, output: Floats, schema: Schema, metric: str, problem: Problem, is_wanted: bool
) -> tuple[tuple[Scaling, ...], LossModel | None]:
    """What performance is estimated with: scalings of classes, or a model of the losses."""
    if not is_wanted:
        return (), None
    if schema.task != "regression":
        return fit_scalings(holdout.y, output), None
    return (), fit_loss_model(holdout, output, schema, metric, problem.search.seed)


def needs_search(n_rows: int, searched_rows: int | None, trigger: str | None) -> bool:
    """Whether kinds and settings are to be searched for again, on ``n_rows`` labelled rows.

    Not while there are less than `RESEARCHED` times the rows of the last search, or, where harm was
    found and another kind may be right, less than `RESEARCHED_AFTER_HARM` times as many.
    """
    if searched_rows is None or trigger not in (*ROUTINE, *HARM):
        return True
    factor = RESEARCHED if trigger in ROUTINE else RESEARCHED_AFTER_HARM
    return n_rows >= factor * searched_rows


def _split(
    rows: Rows,
    champion_end: np.datetime64 | None,
    problem: Problem,
    may: tuple[NDArray[np.bool_], NDArray[np.bool_]] | None,
    changed_at: np.datetime64 | None,
) -> Split:
    is_known = ~np.isnan(rows.y)
    trains, judges = may or (is_known, is_known)
    trains = trains & is_known & ~is_exam(rows.times, problem.gate.backtest_share)
    rules = problem.windows, problem.gate.min_rows, changed_at
    return split_trusted(rows, trains, judges & is_known, champion_end, *rules)


def refuse_untrainable(split: Split, schema: Schema, problem: Problem) -> None:
    """Raise TrainingError when the split has too few rows or, for classes, only one of them."""
    if len(split.holdout) < problem.gate.min_rows or len(split.training) < 2 * SMALLEST_BLOCK:
        raise TrainingError(
            f"{len(split.training)} training and {len(split.holdout)} holdout rows; "
            f"at least 60 and {problem.gate.min_rows} are needed: wait for more labels"
        )
    if schema.task != "regression" and len(np.unique(split.training.y)) < 2:
        raise TrainingError(
            f"target {schema.target!r}: all {len(split.training)} training rows have one label; "
            "two classes are needed: wait for more labels"
        )


@dataclass(frozen=True)
class Settled:
    """A fitted model whose probabilities say what they mean, and where it says yes."""

    fitted: Fitted
    threshold: float


def settle(fitted: Fitted, training: Rows, schema: Schema, problem: Problem, block: int) -> Settled:
    """Calibrate a binary model where that helps; its threshold is the cheapest on the newest block.

    The model is fitted again without that block, so that both choices see honest scores and the
    holdout stays untouched. The block is a third of the rows at most; where that is too few, or
    one class only, the costs alone decide. Other tasks stay as they are, at 0.5. What weights of
    classes add to the rare one's odds is known, and taken off first.
    """
    if schema.task != "binary":
        return Settled(fitted, 0.5)
    fitted, raw = _unweighted(fitted, training), fitted
    ideal = Settled(fitted, ideal_threshold(problem.costs))
    block = min(block, len(training) // 3)
    if block < SMALLEST_BLOCK:
        return ideal
    before = training.part(slice(0, len(training) - block))
    newest = training.part(slice(len(training) - block, None))
    try:
        probe = fit(raw.kind, raw.parameters, before, schema, problem.search.seed)
    except TrainingError:
        return ideal
    probe = _unweighted(probe, before)
    output = probe.output(newest.x)
    scaling = helpful_scaling(newest.y, output[:, 1])
    if scaling is not None:
        fitted, probe = fitted.scaled(scaling), probe.scaled(scaling)
        output = probe.output(newest.x)
    return Settled(fitted, cheapest_threshold(newest.y, output[:, 1], problem.costs))


def _unweighted(fitted: Fitted, training: Rows) -> Fitted:
    """The same model of two classes without what their weights added to the odds (Elkan 2001)."""
    n_positive = float(np.sum(training.y > 0.5))
    if fitted.parameters.get("class_weight") is None or not 0 < n_positive < len(training):
        return fitted
    odds = n_positive / (len(training) - n_positive)
    return fitted.scaled(Scaling(1.0, math.log(odds)))


def cheapest_threshold(y: Floats, probability: Floats, costs: Costs) -> float:
    """The threshold with the least total cost of false positives and false negatives.

    Among equally cheap cuts the one nearest to `ideal_threshold` wins, which is also the answer
    when there is one class only. Rows of one probability are never divided.
    """
    ideal = ideal_threshold(costs)
    if len(np.unique(y)) < 2:
        return ideal
    order = np.argsort(probability)
    sorted_y, sorted_p = y[order], probability[order]
    middles = np.maximum((sorted_p[1:] + sorted_p[:-1]) / 2, np.nextafter(sorted_p[:-1], 1.0))
    cuts = np.concatenate([[0.0], middles, [1.0]])
    is_cut = np.concatenate([[True], sorted_p[1:] > sorted_p[:-1], [sorted_p[-1] < 1.0]])
    missed = np.concatenate([[0.0], np.cumsum(sorted_y)])
    alarmed = (1 - sorted_y).sum() - np.concatenate([[0.0], np.cumsum(1 - sorted_y)])
    cost = missed * costs.false_negative + alarmed * costs.false_positive
    cuts, cost = cuts[is_cut], cost[is_cut]
    cheap = cuts[cost <= cost.min() + 1e-12]
    return float(cheap[np.abs(cheap - ideal).argmin()])


def ideal_threshold(costs: Costs) -> float:
    """FP / (FP + FN): the cheapest threshold of calibrated probabilities (Elkan 2001)."""
    total = costs.false_positive + costs.false_negative
    return costs.false_positive / total if total else 0.5


def feature_importance(
    challenger: Challenger, schema: Schema, metric: str, n_rows: int = 1_000, seed: int = 0
) -> dict[str, float]:
    """How much worse the metric gets on holdout rows when a feature is shuffled (Breiman 2001).

    The mean of `N_SHUFFLES` shuffles; with many features fewer rows are used, so that the model
    answers `MOST_SHUFFLED` rows at most. Zero where the metric is not defined on them.
    """
    n_rows = min(n_rows, MOST_SHUFFLED // (N_SHUFFLES * max(1, len(schema.features))))
    rows = thin(challenger.holdout, n_rows)
    function = metric_function(schema.task, metric, challenger.threshold)
    sign = -1 if metric in LOWER_IS_BETTER else 1
    rng = np.random.default_rng(seed)
    before = function(rows.y, challenger.fitted.output(rows.x))
    found = dict[str, float]()
    for place, name in enumerate(schema.names):
        # All shuffles are answered at once: a call costs more than a thousand rows.
        shuffled = np.tile(rows.x, (N_SHUFFLES, 1))
        shuffled[:, place] = np.concatenate(
            [rng.permutation(rows.x[:, place]) for _ in range(N_SHUFFLES)]
        )
        outputs = np.array_split(challenger.fitted.output(shuffled), N_SHUFFLES)
        loss = before - float(np.mean([function(rows.y, output) for output in outputs]))
        found[name] = 0.0 if math.isnan(loss) else sign * loss
    return found
