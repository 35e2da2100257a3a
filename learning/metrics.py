"""The figures a model is judged by, each with its direction."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from learning.problem import Costs, Task
from learning.rows import Floats

LOWER_IS_BETTER = frozenset(
    {"log_loss", "brier", "calibration_error", "mae", "rmse", "expected_cost"}
)
N_BINS = 10
# No probability counts as nearer to 0 or 1 than this.
SURE = 1e-7
# One, or many of them.
Number = TypeVar("Number", float, Floats)


def default_metric(task: Task) -> str:
    """The metric that ``auto`` stands for."""
    return {"binary": "roc_auc", "multiclass": "accuracy", "regression": "mae"}[task]


def gain(metric: str, new: Number, old: Number) -> Number:
    """How much better ``new`` is than ``old``: positive is better, whatever the direction."""
    return old - new if metric in LOWER_IS_BETTER else new - old


def roc_auc(y: Floats, score: Floats) -> float:
    """Area under the ROC curve by the rank sum (Hanley and McNeil 1982); nan with one class."""
    positives = y > 0.5
    n_positive = int(positives.sum())
    n_negative = len(y) - n_positive
    if not n_positive or not n_negative:
        return math.nan
    order = np.argsort(score)
    ordered = score[order]
    if math.isnan(ordered[-1]):
        return math.nan
    # Ranks of equal scores are their mean; ``ends`` are the ranks with which groups of them end.
    ends = np.append(np.flatnonzero(ordered[1:] != ordered[:-1]), len(y) - 1) + 1
    firsts = np.append(0, ends[:-1])
    hits = np.add.reduceat(positives[order], firsts, dtype=np.float64)
    above = float(hits @ (firsts + ends + 1)) / 2 - n_positive * (n_positive + 1) / 2
    return float(above / (n_positive * n_negative))


def pr_auc(y: Floats, score: Floats) -> float:
    """Average precision: precision at each cut, weighted by the recall it adds; nan without hits.

    Rows of one score are never divided; nothing is interpolated (Davis and Goadrich 2006).
    """
    n_positive = float((y > 0.5).sum())
    if not n_positive:
        return math.nan
    order = np.argsort(-score, kind="stable")
    hits = np.cumsum(y[order] > 0.5)
    ends = np.append(np.flatnonzero(np.diff(score[order])), len(y) - 1)
    precision, recall = hits[ends] / (ends + 1), hits[ends] / n_positive
    return float((precision * np.diff(recall, prepend=0.0)).sum())


def calibration_error(happened: Floats, probability: Floats) -> float:
    """Expected calibration error in ten bins of equal width (Naeini, Cooper and Hauskrecht 2015).

    The mean distance of what was foretold from what happened (0 or 1), weighted by rows. Few rows
    make it larger than it is: each bin's share of positives then varies by chance.
    """
    bins = np.minimum((probability * N_BINS).astype(np.intp), N_BINS - 1)
    apart = np.bincount(bins, weights=probability - happened, minlength=N_BINS)
    return float(np.abs(apart).sum() / len(happened)) if len(happened) else math.nan


def expected_cost(y: Floats, said: NDArray[np.bool_], costs: Costs) -> float:
    """What the errors cost a row on average, in the problem file's units."""
    return _mean(cost_of_errors(y, said, costs))


def cost_of_errors(y: Floats, said: NDArray[np.bool_], costs: Costs) -> Floats:
    """What each answer [n] costs, in the problem file's units."""
    true = y > 0.5
    return np.asarray(costs.false_positive * (said & ~true) + costs.false_negative * (true & ~said))


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


def log_loss(y: Floats, probability: Floats) -> float:
    """Mean negative log-likelihood of labels 0 and 1, with probabilities kept 1e-7 from certain."""
    clipped = np.clip(probability, SURE, 1 - SURE)
    return _mean(-np.where(y > 0.5, np.log(clipped), np.log1p(-clipped)))


# Of labels 0 and 1, probabilities of the positive class, and what was called positive.
_BINARY: dict[str, Callable[[Floats, Floats, NDArray[np.bool_]], float]] = {
    "roc_auc": lambda y, probability, said: roc_auc(y, probability),
    "pr_auc": lambda y, probability, said: pr_auc(y, probability),
    "accuracy": lambda y, probability, said: _mean(said == (y > 0.5)),
    "precision": lambda y, probability, said: precision_recall_f1(y, said)[0],
    "recall": lambda y, probability, said: precision_recall_f1(y, said)[1],
    "f1": lambda y, probability, said: precision_recall_f1(y, said)[2],
    "log_loss": lambda y, probability, said: log_loss(y, probability),
    "brier": lambda y, probability, said: _mean((probability - y) ** 2),
    "calibration_error": lambda y, probability, said: calibration_error(y, probability),
}


def binary_metrics(
    y: Floats, probability: Floats, threshold: float, costs: Costs | None = None
) -> dict[str, float]:
    """Metrics of probabilities of the positive class against labels 0 and 1."""
    said = probability >= threshold
    found = {name: function(y, probability, said) for name, function in _BINARY.items()}
    return found if costs is None else {**found, "expected_cost": expected_cost(y, said, costs)}


def multiclass_metrics(y: Floats, probabilities: Floats) -> dict[str, float]:
    """Metrics of class probabilities [n, classes].

    roc_auc (one class against the rest), recall and f1 are means over the classes present; the
    calibration error is that of the class that was said (Guo et al. 2017).
    """
    said, codes = probabilities.argmax(axis=1), y.astype(int)
    picked = np.clip(probabilities[np.arange(len(y)), codes], SURE, 1.0)
    parts = [precision_recall_f1((y == c).astype(float), said == c) for c in np.unique(y)]
    areas = [roc_auc((y == c).astype(float), probabilities[:, int(c)]) for c in np.unique(y)]
    true = np.eye(probabilities.shape[1])[codes]
    return {
        "roc_auc": float(np.mean(areas)),
        "accuracy": float((said == y).mean()),
        "recall": float(np.nanmean([recall for _, recall, _ in parts])),
        "f1": float(np.nanmean([f1 for _, _, f1 in parts])),
        "log_loss": float(-np.log(picked).mean()),
        "brier": float(((probabilities - true) ** 2).sum(axis=1).mean()),
        "calibration_error": calibration_error(
            (said == y).astype(float), probabilities.max(axis=1)
        ),
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


def all_metrics(
    task: Task, y: Floats, output: Floats, threshold: float = 0.5, costs: Costs | None = None
) -> dict[str, float]:
    """Every metric of a model's output: [n, classes] probabilities or [n, 1] values.

    ``costs`` adds the expected cost of a binary task's errors. Empty when there are no rows.
    """
    if not len(y):
        return {}
    if task == "binary":
        return binary_metrics(y, output[:, 1], threshold, costs)
    if task == "multiclass":
        return multiclass_metrics(y, output)
    return regression_metrics(y, output[:, 0])


def metric_function(
    task: Task, metric: str, threshold: float = 0.5
) -> Callable[[Floats, Floats], float]:
    """Function of (y, output) that gives one metric only, nan where it is undefined."""
    if task == "binary" and (one := _BINARY.get(metric)) is not None:
        return lambda y, output: one(y, output[:, 1], output[:, 1] >= threshold)
    if metric == "accuracy" and task == "multiclass":
        return lambda y, output: _mean(output.argmax(axis=1) == y)
    if metric == "mae" and task == "regression":
        return lambda y, output: _mean(np.abs(output[:, 0] - y))
    return lambda y, output: all_metrics(task, y, output, threshold).get(metric, math.nan)
