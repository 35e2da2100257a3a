"""The numbers behind the pictures of an evaluation, small enough to be kept with the version."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import (
    auc,
    average_precision_score,
    confusion_matrix,
    precision_recall_curve,
    roc_curve,
)

from learning.problem import Task
from learning.rows import Floats

MOST_POINTS = 80
MOST_CLASSES = 12
N_BINS = 10
DIGITS = 5


def evaluation_figures(
    task: Task,
    classes: Sequence[str],
    y: Floats,
    output: Floats,
    threshold: float,
    importance: Mapping[str, float],
) -> dict[str, Any]:
    """Confusion matrix, ROC, precision and recall, calibration; of numbers, what missed by what.

    ``y`` [n] are class indices or values, ``output`` [n, classes or 1]. Curves are thinned to
    `MOST_POINTS`; with more than two classes each stands against the rest, the first
    `MOST_CLASSES`. A class that the rows do not have both sides of has no curve.
    """
    found: dict[str, Any] = {"n_rows": len(y), "importance": _rounded_values(importance)}
    if not len(y):
        return found
    if task == "regression":
        return found | _regression(y, output[:, 0])
    said = output.argmax(axis=1)
    if task == "binary":
        said = (output[:, 1] >= threshold).astype(int)
        found["threshold"] = float(threshold)
    table = confusion_matrix(y.astype(int), said, labels=range(len(classes)))
    found["confusion"] = {"classes": list(classes), "counts": table.tolist()}
    shown = [1] if task == "binary" else range(min(len(classes), MOST_CLASSES))
    sides = [(classes[place], (y == place).astype(int), output[:, place]) for place in shown]
    both = [(name, is_it, score) for name, is_it, score in sides if 0 < is_it.sum() < len(y)]
    found["roc"] = {name: _roc(is_it, score) for name, is_it, score in both}
    found["precision_recall"] = {name: _precision(is_it, score) for name, is_it, score in both}
    found["calibration"] = {name: calibration_bins(is_it, score) for name, is_it, score in both}
    return found


def calibration_bins(is_it: NDArray[Any], score: Floats) -> dict[str, list[float]]:
    """Foretold chance and observed share of equally filled bins, at most ten, and their rows."""
    order = np.argsort(score, kind="stable")
    parts = [part for part in np.array_split(order, N_BINS) if len(part)]
    return {
        "foretold": _rounded([score[part].mean() for part in parts]),
        "happened": _rounded([is_it[part].mean() for part in parts]),
        "n_rows": [len(part) for part in parts],
    }


def _roc(is_it: NDArray[Any], score: Floats) -> dict[str, Any]:
    x, y, _ = roc_curve(is_it, score)
    return {**_thinned(x, y), "area": round(float(auc(x, y)), DIGITS)}


def _precision(is_it: NDArray[Any], score: Floats) -> dict[str, Any]:
    precision, recall, _ = precision_recall_curve(is_it, score)
    area = float(average_precision_score(is_it, score))
    curve = _thinned(recall, precision)
    return {**curve, "area": round(area, DIGITS), "share": round(float(is_it.mean()), DIGITS)}


def _regression(y: Floats, value: Floats) -> dict[str, Any]:
    places = np.linspace(0, len(y) - 1, min(len(y), 5 * MOST_POINTS)).astype(int)
    residual = value - y
    counts, edges = np.histogram(residual, bins=min(40, max(5, len(y) // 10)))
    return {
        "scatter": {"actual": _rounded(y[places]), "predicted": _rounded(value[places])},
        "residuals": {"edges": _rounded(edges), "counts": counts.tolist()},
    }


def _thinned(x: Floats, y: Floats) -> dict[str, list[float]]:
    places = np.unique(np.linspace(0, len(x) - 1, min(len(x), MOST_POINTS)).astype(int))
    return {"x": _rounded(x[places]), "y": _rounded(y[places])}


def _rounded(values: Any) -> list[float]:
    return [float(f"{value:.{DIGITS}g}") for value in np.asarray(values, dtype=np.float64)]


def _rounded_values(values: Mapping[str, float]) -> dict[str, float]:
    return {name: _rounded([value])[0] for name, value in values.items() if np.isfinite(value)}
