"""Charts of one evaluation, and of a metric over time, as PNG bytes."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.dates import ConciseDateFormatter
from matplotlib.figure import Figure
from numpy.typing import NDArray
from sklearn.metrics import confusion_matrix, precision_recall_curve, roc_curve

from learning.problem import Task
from learning.rows import Floats

MOST_BARS = 20


def evaluation_charts(
    task: Task,
    classes: Sequence[str],
    y: Floats,
    output: Floats,
    threshold: float,
    importance: Mapping[str, float],
    figures: Mapping[str, Any] | None = None,
) -> dict[str, bytes]:
    """PNG files by name: what a person looks at to believe an evaluation.

    ``figures`` are its numbers as they were kept, for calibration and the cost of thresholds.
    """
    charts = {"importance.png": _png(_importance(importance))}
    if task == "regression":
        charts["predicted_vs_actual.png"] = _png(_scatter(y, output[:, 0]))
        return charts
    said = output.argmax(axis=1)
    if task == "binary":
        said = (output[:, 1] >= threshold).astype(int)
        if len(np.unique(y)) == 2:
            charts["roc.png"] = _png(_roc(y, output[:, 1]))
            charts["precision_recall.png"] = _png(_precision_recall(y, output[:, 1]))
    charts["confusion_matrix.png"] = _png(_confusion(classes, y, said))
    kept = figures or {}
    if kept.get("calibration"):
        charts["calibration.png"] = _png(_calibration(kept["calibration"]))
    if "cost" in kept:
        charts["cost.png"] = _png(_cost(kept["cost"], threshold))
    return charts


def metric_chart(
    name: str,
    times: Sequence[datetime],
    values: Sequence[float],
    band: tuple[Sequence[float], Sequence[float]] | None,
    limit: float | None,
) -> bytes:
    """A small PNG of a metric over time (aware UTC), its interval as a band, its limit as a line.

    Values that are not finite leave gaps. Raises ValueError when none is finite.
    """
    y = np.asarray(values, dtype=np.float64)
    if not np.isfinite(y).any():
        raise ValueError(f"{name}: found no finite value; expected one or more to draw")
    figure = Figure(figsize=(6, 2.6), dpi=100, layout="constrained")
    axes = figure.subplots()
    when = np.array([time.replace(tzinfo=None) for time in times], dtype="datetime64[us]")
    axes.plot(when, y, marker="o", markersize=3, linewidth=1.5, label=_plain(name))
    if band is not None:
        low, high = (np.asarray(side, dtype=np.float64) for side in band)
        axes.fill_between(when, low, high, alpha=0.25, linewidth=0)
        if len(when) == 1:  # whose band has no width
            axes.vlines(when, low, high, alpha=0.5)
    if len(when) == 1:  # else the axis would span years
        axes.set_xlim(when[0] - np.timedelta64(1, "h"), when[0] + np.timedelta64(1, "h"))
    if limit is not None:
        axes.axhline(limit, color="tab:red", linestyle="--", linewidth=1, label="limit")
    axes.legend(loc="best", fontsize=8)
    axes.grid(alpha=0.3)
    locator = axes.xaxis.get_major_locator()
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]
    axes.tick_params(labelsize=8)
    return _png(figure)


def _figure(title: str, x: str, y: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(5, 4), dpi=100, layout="constrained")
    axes = figure.subplots()
    axes.set_title(title)
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    return figure, axes


def _plain(name: str) -> str:
    """The name so that matplotlib reads no formula between its dollar signs."""
    return name.replace("$", r"\$")


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def _importance(importance: Mapping[str, float]) -> Figure:
    top = sorted(importance.items(), key=lambda item: item[1])[-MOST_BARS:]
    figure, axes = _figure("What the metric loses when a feature is shuffled", "loss", "")
    axes.barh([_plain(name) for name, _ in top], [value for _, value in top])
    return figure


def _scatter(y: Floats, value: Floats) -> Figure:
    figure, axes = _figure("Predicted and actual, holdout", "actual", "predicted")
    axes.scatter(y, value, s=4, alpha=0.4)
    ends = [float(y.min()), float(y.max())]
    axes.plot(ends, ends, color="black", linewidth=1)
    return figure


def _roc(y: Floats, score: Floats) -> Figure:
    false_rate, true_rate, _ = roc_curve(y, score)
    figure, axes = _figure("ROC, holdout", "false positive rate", "true positive rate")
    axes.plot(false_rate, true_rate)
    axes.plot([0, 1], [0, 1], color="grey", linewidth=1)
    return figure


def _precision_recall(y: Floats, score: Floats) -> Figure:
    precision, recall, _ = precision_recall_curve(y, score)
    figure, axes = _figure("Precision and recall, holdout", "recall", "precision")
    axes.plot(recall, precision)
    return figure


def _calibration(bins: Mapping[str, Mapping[str, Sequence[float]]]) -> Figure:
    figure, axes = _figure("Calibration, holdout", "foretold", "happened")
    axes.plot([0, 1], [0, 1], color="grey", linewidth=1)
    for name, one in bins.items():
        axes.plot(one["foretold"], one["happened"], marker="o", markersize=4, label=_plain(name))
    axes.legend(fontsize=8)
    return figure


def _cost(curve: Mapping[str, Sequence[float]], threshold: float) -> Figure:
    figure, axes = _figure("What errors cost, holdout", "threshold", "mean cost of a row")
    axes.plot(curve["x"], curve["y"])
    axes.axvline(threshold, color="tab:red", linestyle="--", linewidth=1)
    return figure


def _confusion(classes: Sequence[str], y: Floats, said: NDArray[np.intp]) -> Figure:
    table = confusion_matrix(y.astype(int), said, labels=range(len(classes)))
    figure, axes = _figure("Confusion matrix, holdout", "predicted", "actual")
    axes.imshow(table, cmap="Blues")
    names = [_plain(name) for name in classes]
    axes.set_xticks(range(len(classes)), names, rotation=45)
    axes.set_yticks(range(len(classes)), names)
    for (row, column), count in np.ndenumerate(table):
        colour = "white" if count > table.max() / 2 else "black"
        axes.text(column, row, str(count), ha="center", va="center", color=colour)
    return figure
