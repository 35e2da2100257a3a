"""Charts of one evaluation, as PNG bytes."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
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
) -> dict[str, bytes]:
    """PNG files by name: what a person looks at to believe an evaluation."""
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
    return charts


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
