"""Accuracy, AUC and mean error of the newest labelled predictions of each version."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from storage.live_labels import LiveLabel

WINDOW = 1_000
# Labels may come late, for versions that answer no more; the most recently labelled are shown.
VERSIONS = 5


@dataclass(frozen=True)
class Figure:
    """The newest labelled predictions of one version; None for what its task has not.

    ``auc`` is None as well while all labels are of one class.
    """

    version: str
    labels: int
    accuracy: float | None = None
    auc: float | None = None
    mean_absolute_error: float | None = None


def figures(labels: Sequence[LiveLabel], task: str) -> list[Figure]:
    """The figures of the versions that were labelled last, from labels in the order they came."""
    newest: dict[str, list[LiveLabel]] = defaultdict(list)
    for label in reversed(labels):
        if label.model_version in newest or len(newest) < VERSIONS:
            newest[label.model_version].append(label)
    return [_figure(version, found[:WINDOW], task) for version, found in newest.items()]


def _figure(version: str, labels: list[LiveLabel], task: str) -> Figure:
    mean = sum(label.error for label in labels) / len(labels)
    if task == "regression":
        return Figure(version, len(labels), mean_absolute_error=mean)
    return Figure(version, len(labels), accuracy=1 - mean, auc=_auc(labels))


def _auc(labels: list[LiveLabel]) -> float | None:
    """The chance that a positive scores above a negative, ties counting half (Mann and Whitney)."""
    scored = [(label.score, label.is_positive) for label in labels if label.score is not None]
    positive = np.array([score for score, is_positive in scored if is_positive])
    negative = np.sort([score for score, is_positive in scored if not is_positive])
    if not positive.size or not negative.size:
        return None
    below = np.searchsorted(negative, positive, side="left")
    up_to = np.searchsorted(negative, positive, side="right")
    return float((below + up_to).mean() / (2 * negative.size))
