"""Metrics of bootstrap resamples, from how often each resample drew each row."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from learning.metrics import N_BINS, SURE, all_metrics, cost_of_errors, metric_function
from learning.problem import Costs, Task
from learning.resampling import Statistic
from learning.rows import Floats

Booleans = NDArray[np.bool_]
_SIDES: tuple[Literal["left"], Literal["right"]] = "left", "right"


def counted(
    task: Task, metric: str, y: Floats, output: Floats, threshold: float = 0.5
) -> Statistic:
    """A metric of labels [n] and outputs [n, classes or 1] as a function of counts.

    It gives what `metric_function` does on the drawn rows, but for rounding; nan where undefined.
    """
    if task == "binary" and (make := _BINARY.get(metric)) is not None:
        return make(y > 0.5, output[:, 1], output[:, 1] >= threshold)
    if task == "multiclass" and metric == "accuracy":
        return _mean_of(output.argmax(axis=1) == y)
    if task == "regression" and metric in ("mae", "rmse"):
        error = output[:, 0] - y
        return _mean_of(np.abs(error)) if metric == "mae" else _root_of(_mean_of(error**2))
    function = metric_function(task, metric, threshold)
    return _redrawn(lambda index: function(y[index], output[index]))


def counted_all(
    task: Task, y: Floats, output: Floats, threshold: float, costs: Costs | None = None
) -> Callable[[Floats], dict[str, Floats]]:
    """All that `all_metrics` gives, as a function of counts."""
    if task == "binary":
        said = output[:, 1] >= threshold
        made = {name: make(y > 0.5, output[:, 1], said) for name, make in _BINARY.items()}
        if costs is not None:
            made["expected_cost"] = _mean_of(cost_of_errors(y, said, costs))
        return lambda counts: {name: statistic(counts) for name, statistic in made.items()}

    def redrawn(counts: Floats) -> dict[str, Floats]:
        drawn = [all_metrics(task, y[i], output[i], threshold, costs) for i in _rows_of(counts)]
        return {name: np.array([one[name] for one in drawn]) for name in drawn[0]}

    return redrawn


def _rows_of(counts: Floats) -> Iterator[NDArray[np.intp]]:
    every = np.arange(counts.shape[1])
    return (np.repeat(every, drawn) for drawn in counts.astype(np.intp))


def _redrawn(statistic: Callable[[NDArray[np.intp]], float]) -> Statistic:
    """A statistic of row indexes, for each resample by itself."""
    return lambda counts: np.array([statistic(index) for index in _rows_of(counts)])


def _mean_of(values: NDArray[np.generic]) -> Statistic:
    """The mean of what each row adds."""
    floats = np.asarray(values, dtype=np.float64)
    return lambda counts: np.asarray(counts @ floats / counts.sum(axis=1))


def _root_of(statistic: Statistic) -> Statistic:
    return lambda counts: np.asarray(np.sqrt(statistic(counts)))


def _share(above: Floats, below: Floats) -> Floats:
    """Quotients [k], nan where a denominator is zero."""
    found = np.full(len(above), math.nan)
    np.divide(above, below, out=found, where=below > 0)
    return found


def _roc_auc(is_positive: Booleans, score: Floats, _said: Booleans) -> Statistic:
    """For each positive row the share of negative ones below it; of equal ones half."""
    positives, negatives = np.flatnonzero(is_positive), np.flatnonzero(~is_positive)
    negatives = negatives[np.argsort(score[negatives], kind="stable")]
    ends = [np.searchsorted(score[negatives], score[positives], side) for side in _SIDES]
    has_ties = bool((ends[0] != ends[1]).any())

    def areas(counts: Floats) -> Floats:
        hits = np.take(counts, positives, axis=1)
        misses = np.zeros((len(counts), len(negatives) + 1))
        np.cumsum(np.take(counts, negatives, axis=1), axis=1, out=misses[:, 1:])
        below = np.take(misses, ends[0], axis=1)
        if has_ties:
            below = (below + np.take(misses, ends[1], axis=1)) / 2
        return _share(np.einsum("ij,ij->i", hits, below), hits.sum(axis=1) * misses[:, -1])

    return _undefined if np.isnan(score).any() else areas


def _undefined(counts: Floats) -> Floats:
    return np.full(len(counts), math.nan)


def _pr_auc(is_positive: Booleans, score: Floats, _said: Booleans) -> Statistic:
    order = np.argsort(-score, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(score[order])), len(score) - 1)
    is_hit = is_positive[order].astype(np.float64)

    def areas(counts: Floats) -> Floats:
        drawn = np.take(counts, order, axis=1)
        above, until = (np.cumsum(of, axis=1)[:, ends] for of in (drawn * is_hit, drawn))
        hits = np.diff(above, axis=1, prepend=0.0)
        # What was not drawn adds no hits, so that its precision does not matter.
        precision = above / np.maximum(until, 1.0)
        return _share(np.einsum("ij,ij->i", hits, precision), hits.sum(axis=1))

    return areas


def _accuracy(is_positive: Booleans, _score: Floats, said: Booleans) -> Statistic:
    return _mean_of(said == is_positive)


def _of_hits(name: str, is_positive: Booleans, _score: Floats, said: Booleans) -> Statistic:
    """Precision, recall or F1: twice the hits over what was said, was true, or both."""
    weights = {"precision": 2.0 * said, "recall": 2.0 * is_positive}.get(
        name, said.astype(np.float64) + is_positive
    )
    hits = 2.0 * (said & is_positive)
    return lambda counts: _share(counts @ hits, counts @ weights)


def _log_loss(is_positive: Booleans, score: Floats, _said: Booleans) -> Statistic:
    clipped = np.clip(score, SURE, 1 - SURE)
    return _mean_of(-np.where(is_positive, np.log(clipped), np.log1p(-clipped)))


def _brier(is_positive: Booleans, score: Floats, _said: Booleans) -> Statistic:
    return _mean_of((score - is_positive) ** 2)


def _calibration_error(is_positive: Booleans, score: Floats, _said: Booleans) -> Statistic:
    bins = np.minimum((score * N_BINS).astype(np.intp), N_BINS - 1)
    apart = np.zeros((len(score), N_BINS))
    apart[np.arange(len(score)), bins] = score - is_positive
    return lambda counts: np.abs(counts @ apart).sum(axis=1) / counts.sum(axis=1)


_BINARY: dict[str, Callable[[Booleans, Floats, Booleans], Statistic]] = {
    "roc_auc": _roc_auc,
    "pr_auc": _pr_auc,
    "accuracy": _accuracy,
    "precision": partial(_of_hits, "precision"),
    "recall": partial(_of_hits, "recall"),
    "f1": partial(_of_hits, "f1"),
    "log_loss": _log_loss,
    "brier": _brier,
    "calibration_error": _calibration_error,
}
