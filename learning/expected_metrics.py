"""Metrics that are to be expected of answers whose labels are not known yet.

Each row counts for each class with its calibrated probability. Ratios are ratios of expectations,
which is exact for means and close for the others on some hundred rows.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from learning.problem import Task
from learning.rows import Floats


def expected_metric(
    task: Task, metric: str, chances: Floats, output: Floats, threshold: float = 0.5
) -> float:
    """The metric of outputs [n, classes] if classes happen with ``chances`` [n, classes].

    With chances of 0 and 1 it is the metric itself. nan where it cannot be foretold, as is the
    calibration error, which would be that of the chances against themselves.
    """
    if metric == "log_loss":
        return float(-(chances * np.log(np.clip(output, 1e-7, 1.0))).sum(axis=1).mean())
    if metric == "brier":
        squares = output**2 - 2 * chances * output + chances
        return float((squares[:, 1] if task == "binary" else squares.sum(axis=1)).mean())
    if task == "binary":
        return _expected_binary(metric, chances[:, 1], output[:, 1], threshold)
    return _expected_multiclass(metric, chances, output)


def _expected_binary(metric: str, chance: Floats, score: Floats, threshold: float) -> float:
    said = score >= threshold
    if metric == "accuracy":
        return float(np.where(said, chance, 1 - chance).mean())
    if metric == "f1":
        return _f1(chance, said)
    if metric == "roc_auc":
        return expected_roc_auc(chance, score)
    if metric == "pr_auc":
        return expected_pr_auc(chance, score)
    return math.nan


def _expected_multiclass(metric: str, chances: Floats, output: Floats) -> float:
    said = output.argmax(axis=1)
    present = [c for c in range(output.shape[1]) if chances[:, c].sum() > 0]
    if metric == "accuracy":
        return float(chances[np.arange(len(said)), said].mean())
    if metric == "f1":
        return float(np.mean([_f1(chances[:, c], said == c) for c in present]))
    if metric == "roc_auc":
        return float(np.mean([expected_roc_auc(chances[:, c], output[:, c]) for c in present]))
    return math.nan


def _f1(chance: Floats, said: NDArray[np.bool_]) -> float:
    below = said.sum() + chance.sum()
    return float(2 * (chance * said).sum() / below) if below else math.nan


def expected_roc_auc(chance: Floats, score: Floats) -> float:
    """Area under the expected ROC curve: each row is positive with its chance, else negative."""
    positive, negative = _by_score(chance, score)
    total = positive.sum() * negative.sum()
    below = np.cumsum(negative) - negative
    return float((positive * (below + negative / 2)).sum() / total) if total else math.nan


def expected_pr_auc(chance: Floats, score: Floats) -> float:
    """Average precision along the expected precision and recall of each cut."""
    positive, negative = (side[::-1] for side in _by_score(chance, score))
    if not positive.sum():
        return math.nan
    hits, called = np.cumsum(positive), np.cumsum(positive + negative)
    return float((hits / called * positive).sum() / positive.sum())


def _by_score(chance: Floats, score: Floats) -> tuple[Floats, Floats]:
    """Expected positives and negatives at each distinct score, from low to high."""
    _, place = np.unique(score, return_inverse=True)
    positive = np.bincount(place, weights=chance).astype(np.float64)
    return positive, np.bincount(place, weights=1 - chance).astype(np.float64)
