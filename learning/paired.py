"""How much better is one model than another on the same rows, and how sure is that?"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from learning.counted import counted
from learning.metrics import LOWER_IS_BETTER, gain, metric_function
from learning.problem import Task
from learning.resampling import Statistic, bootstrap_error
from learning.rows import Floats

LEAST_BLOCKS = 10


@dataclass(frozen=True)
class Pair:
    """Two models' outputs [n, classes or 1] for the same rows, in time order, with labels [n]."""

    task: Task
    metric: str
    y: Floats
    new: Floats
    old: Floats
    new_threshold: float = 0.5
    old_threshold: float = 0.5

    def part(self, selection: NDArray[np.bool_] | NDArray[np.intp]) -> Pair:
        """The pair on the selected rows."""
        sides = self.y[selection], self.new[selection], self.old[selection]
        return Pair(self.task, self.metric, *sides, self.new_threshold, self.old_threshold)

    def gain(self, selection: NDArray[np.intp] | slice = slice(None)) -> float:
        """The metric of the new model over that of the old; positive is better; nan undefined."""
        y = self.y[selection]
        if not len(y):
            return math.nan
        new = metric_function(self.task, self.metric, self.new_threshold)
        old = metric_function(self.task, self.metric, self.old_threshold)
        return gain(self.metric, new(y, self.new[selection]), old(y, self.old[selection]))

    def counted_gain(self) -> Statistic:
        """The gain on bootstrap resamples, from how often each draws each row [resamples, n]."""
        new = counted(self.task, self.metric, self.y, self.new, self.new_threshold)
        old = counted(self.task, self.metric, self.y, self.old, self.old_threshold)
        return lambda counts: gain(self.metric, new(counts), old(counts))

    def old_value(self) -> float:
        """The old model's metric; nan where it is undefined."""
        if not len(self.y):
            return math.nan
        return metric_function(self.task, self.metric, self.old_threshold)(self.y, self.old)


@dataclass(frozen=True)
class Estimate:
    """A gain with its standard error; ``n_units`` rows or blocks count as independent."""

    value: float
    error: float
    n_units: float
    method: str

    def interval(self, confidence: float) -> tuple[float, float]:
        """Student's interval with one degree of freedom less than there are units."""
        if math.isnan(self.value) or math.isnan(self.error):
            return math.nan, math.nan
        quantile = stats.t.ppf((1 + confidence) / 2, max(self.n_units - 1, 1))
        return self.value - quantile * self.error, self.value + quantile * self.error


def estimate_gain(pair: Pair, block_rows: int | None = None, seed: int = 0) -> Estimate:
    """The gain and its standard error.

    For the ROC AUC of two classes on independent rows by the structural components of DeLong,
    DeLong and Clarke-Pearson (1988), else by a paired bootstrap. ``block_rows`` None: neighbouring
    rows are drawn together in blocks as long as their differences are correlated.
    """
    block = dependence(differences(pair)) if block_rows is None else block_rows
    block = max(1, min(block, len(pair.y) // LEAST_BLOCKS))
    if block == 1 and _is_auc(pair):
        return Estimate(pair.gain(), delong_error(pair), len(pair.y), "DeLong")
    error = bootstrap_error(pair.counted_gain(), len(pair.y), block, seed)
    drawn = "rows" if block == 1 else f"blocks of {block} rows"
    return Estimate(pair.gain(), error, len(pair.y) / block, f"bootstrap of {drawn}")


def _is_auc(pair: Pair) -> bool:
    return pair.metric == "roc_auc" and pair.task == "binary"


def placements(y: Floats, score: Floats) -> Floats:
    """For each row the share of the other class that it is on the right side of; ties are half."""
    is_positive = y > 0.5
    ranks, found = stats.rankdata(score), np.empty(len(y))
    n_positive = int(is_positive.sum())
    n_negative = len(y) - n_positive
    own = stats.rankdata(score[is_positive])
    found[is_positive] = (ranks[is_positive] - own) / max(n_negative, 1)
    own = stats.rankdata(score[~is_positive])
    found[~is_positive] = 1 - (ranks[~is_positive] - own) / max(n_positive, 1)
    return found


def delong_error(pair: Pair) -> float:
    """Standard error of the difference of two ROC AUCs on the same rows; nan with one class."""
    is_positive = pair.y > 0.5
    if is_positive.all() or not is_positive.any():
        return math.nan
    apart = placements(pair.y, pair.new[:, 1]) - placements(pair.y, pair.old[:, 1])
    sides = apart[is_positive], apart[~is_positive]
    return math.sqrt(sum(float(side.var(ddof=1)) / len(side) for side in sides if len(side) > 1))


def differences(pair: Pair) -> Floats:
    """What each row adds to the gain [n], or stands for it where the metric is no mean over rows.

    Placements for the ROC AUC, absolute errors for numbers, squared errors of probabilities.
    """
    if _is_auc(pair):
        apart = placements(pair.y, pair.new[:, 1]) - placements(pair.y, pair.old[:, 1])
        for side in (pair.y > 0.5, pair.y <= 0.5):
            apart[side] -= apart[side].mean() if side.any() else 0.0
        return apart
    if pair.task == "regression":
        new, old = pair.new[:, 0] - pair.y, pair.old[:, 0] - pair.y
        is_squared = pair.metric in ("rmse", "r2")
        return old**2 - new**2 if is_squared else np.abs(old) - np.abs(new)
    true = np.eye(pair.new.shape[1])[pair.y.astype(np.intp)]
    return np.asarray(((pair.old - true) ** 2 - (pair.new - true) ** 2).sum(axis=1))


def dependence(series: Floats) -> int:
    """Rows of a block beyond which a series [n] hardly remembers; 1 if it looks independent.

    The automatic choice of Politis and White (2004, corrected by Patton, Politis and White 2009)
    for the circular block bootstrap.
    """
    n_rows = len(series)
    centred = series - series.mean() if n_rows else series
    power = float((centred**2).mean()) if n_rows else 0.0
    if n_rows < 30 or power <= 0:
        return 1
    run = max(5, math.ceil(math.sqrt(math.log10(n_rows))))
    most = math.ceil(math.sqrt(n_rows)) + run
    covariances = np.array([centred[: n_rows - lag] @ centred[lag:] for lag in range(most + 1)])
    covariances /= n_rows
    is_small = np.abs(covariances[1:] / power) < 2 * math.sqrt(math.log10(n_rows) / n_rows)
    lag = next((m for m in range(most - run + 1) if is_small[m : m + run].all()), most - run)
    if lag == 0:
        return 1
    lags = np.arange(1, min(2 * lag, most) + 1)
    weights = np.minimum(1.0, 2 * (1 - lags / (2 * lag)))
    spread = float((2 * weights * lags * covariances[lags]).sum())
    level = power + float((2 * weights * covariances[lags]).sum())
    if level <= 0 or spread <= 0:
        return 1
    length = (2 * spread**2 / (4 / 3 * level**2)) ** (1 / 3) * n_rows ** (1 / 3)
    return int(min(max(1, round(length)), 3 * math.sqrt(n_rows), n_rows / 3))


def significance_of(looks: int) -> float:
    """The part of the error that may be spent at a look: halves, so that all looks keep to one."""
    return float(0.5**looks)


def as_margin(metric: str, margin: float, error_margin: float, champion: float) -> float:
    """The smallest difference that matters; of errors a share of the champion's value."""
    if metric in LOWER_IS_BETTER and math.isfinite(champion):
        return error_margin * abs(champion)
    return margin
