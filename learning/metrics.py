"""The figures a model is judged by, each with its direction."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from learning.problem import Task
from learning.rows import Floats

LOWER_IS_BETTER = frozenset({"log_loss", "brier", "mae", "rmse", "expected_cost"})


def default_metric(task: Task) -> str:
    """The metric that ``auto`` stands for."""
    return {"binary": "roc_auc", "multiclass": "accuracy", "regression": "mae"}[task]


def gain(metric: str, new: float, old: float) -> float:
    """How much better ``new`` is than ``old``: positive is better, whatever the direction."""
    return old - new if metric in LOWER_IS_BETTER else new - old


def roc_auc(y: Floats, score: Floats) -> float:
    """Area under the ROC curve by the rank sum (Hanley and McNeil 1982); nan with one class."""
    positives = y > 0.5
    n_positive = int(positives.sum())
    n_negative = len(y) - n_positive
    if not n_positive or not n_negative:
        return math.nan
    ranks = stats.rankdata(score)
    above = ranks[positives].sum() - n_positive * (n_positive + 1) / 2
    return float(above / (n_positive * n_negative))


def _ratio(above: float, below: float) -> float:
    return float(above / below) if below else math.nan


def _mean(values: NDArray[Any]) -> float:
    return float(values.mean()) if len(values) else math.nan


def precision_recall_f1(y: Floats, said: NDArray[np.bool_]) -> tuple[float, float, float]:
    """Precision, recall and F1 of the positive class; nan where a denominator is zero."""
    true = y > 0.5
    hits = float((true & said).sum())
    precision, recall = _ratio(hits, said.sum()), _ratio(hits, true.sum())
    return precision, recall, _ratio(2 * hits, said.sum() + true.sum())


def binary_metrics(y: Floats, probability: Floats, threshold: float) -> dict[str, float]:
    """Metrics of probabilities of the positive class against labels 0 and 1."""
    clipped = np.clip(probability, 1e-7, 1 - 1e-7)
    said = probability >= threshold
    precision, recall, f1 = precision_recall_f1(y, said)
    return {
        "roc_auc": roc_auc(y, probability),
        "accuracy": float((said == (y > 0.5)).mean()),
        "precision": precision,
        "recall": recall,
        "f1": f1,
        "log_loss": float(-np.where(y > 0.5, np.log(clipped), np.log1p(-clipped)).mean()),
        "brier": float(((probability - y) ** 2).mean()),
    }


def multiclass_metrics(y: Floats, probabilities: Floats) -> dict[str, float]:
    """Metrics of class probabilities [n, classes]; f1 and recall are means over present classes."""
    said = probabilities.argmax(axis=1)
    picked = np.clip(probabilities[np.arange(len(y)), y.astype(int)], 1e-7, 1.0)
    parts = [precision_recall_f1((y == c).astype(float), said == c) for c in np.unique(y)]
    return {
        "accuracy": float((said == y).mean()),
        "recall": float(np.nanmean([recall for _, recall, _ in parts])),
        "f1": float(np.nanmean([f1 for _, _, f1 in parts])),
        "log_loss": float(-np.log(picked).mean()),
    }


def regression_metrics(y: Floats, value: Floats) -> dict[str, float]:
    """Mean absolute error, root mean squared error and R² (nan when the target is constant)."""
    error = value - y
    spread = float(((y - y.mean()) ** 2).sum())
    return {
        "mae": float(np.abs(error).mean()),
        "rmse": float(math.sqrt((error**2).mean())),
        "r2": 1 - _ratio(float((error**2).sum()), spread),
    }


def all_metrics(task: Task, y: Floats, output: Floats, threshold: float = 0.5) -> dict[str, float]:
    """Every metric of a model's output: [n, classes] probabilities or [n, 1] values.

    Empty when there are no rows.
    """
    if not len(y):
        return {}
    if task == "binary":
        return binary_metrics(y, output[:, 1], threshold)
    if task == "multiclass":
        return multiclass_metrics(y, output)
    return regression_metrics(y, output[:, 0])


def metric_function(
    task: Task, metric: str, threshold: float = 0.5
) -> Callable[[Floats, Floats], float]:
    """Function of (y, output) that gives one metric only, nan where it is undefined."""
    if metric == "roc_auc" and task == "binary":
        return lambda y, output: roc_auc(y, output[:, 1])
    if metric == "accuracy" and task == "binary":
        return lambda y, output: _mean((output[:, 1] >= threshold) == (y > 0.5))
    if metric == "accuracy" and task == "multiclass":
        return lambda y, output: _mean(output.argmax(axis=1) == y)
    if metric == "mae" and task == "regression":
        return lambda y, output: _mean(np.abs(output[:, 0] - y))
    return lambda y, output: all_metrics(task, y, output, threshold).get(metric, math.nan)


def bootstrap(
    statistic: Callable[[NDArray[np.intp]], float],
    n_rows: int,
    confidence: float,
    seed: int = 0,
    n_resamples: int = 300,
) -> tuple[float, float]:
    """Percentile bootstrap interval of a statistic of row indexes (Efron 1979).

    Resamples on which the statistic is undefined are left out; (nan, nan) when all are, or when
    there are no rows.
    """
    if not n_rows:
        return math.nan, math.nan
    rng = np.random.default_rng(seed)
    values = np.array([statistic(rng.integers(0, n_rows, n_rows)) for _ in range(n_resamples)])
    values = values[~np.isnan(values)]
    if not len(values):
        return math.nan, math.nan
    tail = (1 - confidence) / 2
    low, high = np.quantile(values, [tail, 1 - tail])
    return float(low), float(high)
