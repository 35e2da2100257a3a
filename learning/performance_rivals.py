"""What the served model must be better than: no change, the frozen first model, a dummy."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from learning.paired import Pair
from learning.problem import Task
from learning.resampling import bootstrap
from learning.rows import Floats


@dataclass(frozen=True)
class Rival:
    """Another predictor's outputs [n, classes or 1] for the judged rows; NaN where it has none."""

    name: str
    output: Floats
    threshold: float = 0.5


@dataclass(frozen=True)
class Comparison:
    """A rival's metric, and how much better the served model is on the same rows.

    ``gain`` is positive where the served model is better; None where the metric is undefined.
    """

    name: str
    n_rows: int
    value: float | None
    gain: float | None
    gain_low: float | None
    gain_high: float | None


def last_arrived(
    asked: NDArray[np.datetime64], arrived: NDArray[np.datetime64], labels: Floats
) -> Floats:
    """The newest of the ``labels`` that had arrived before each time asked; NaN before the first.

    ``arrived`` [m] never decreases and is the arrival of each label [m].
    """
    place = np.searchsorted(arrived, asked, side="left") - 1
    return np.append(labels, np.nan)[place]


def as_output(values: Floats, n_classes: int) -> Floats:
    """Labels [n] as outputs: values [n, 1] without classes, else certainty of one class."""
    if not n_classes:
        return values.reshape(-1, 1)
    output = np.full((len(values), n_classes), np.nan)
    known = ~np.isnan(values)
    output[known] = np.eye(n_classes)[values[known].astype(np.intp)]
    return output


def compare(
    task: Task,
    metric: str,
    y: Floats,
    served: Rival,
    rivals: Sequence[Rival],
    confidence: float,
) -> tuple[Comparison, ...]:
    """The served model against each rival, on the rows for which the rival has an answer."""
    return tuple(_against(task, metric, y, served, rival, confidence) for rival in rivals)


def _against(
    task: Task, metric: str, y: Floats, served: Rival, rival: Rival, confidence: float
) -> Comparison:
    known = ~np.isnan(rival.output).any(axis=1)
    y, ours, theirs = y[known], served.output[known], rival.output[known]
    if not len(y):
        return Comparison(rival.name, 0, None, None, None, None)
    pair = Pair(task, metric, y, ours, theirs, served.threshold, rival.threshold)
    low, high = bootstrap(pair.counted_gain(), len(y), confidence)
    found = pair.old_value(), pair.gain(), low, high
    return Comparison(rival.name, len(y), *(_known(number) for number in found))


def _known(number: float) -> float | None:
    return number if math.isfinite(number) else None
