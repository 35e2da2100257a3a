"""A linear model's inputs: gaps filled, numbers clipped and scaled, a column for each category."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin

from learning.rows import Floats, Matrix


class LinearInputs(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Encoded rows [n, features] to float32 columns: the features [n, features], then categories.

    A missing number is filled with the median of the training rows. Numbers are clipped to the
    training range: a line drawn through a drifting input would otherwise be followed far beyond
    anything that was ever seen. They are then moved to mean zero and standard deviation one; a
    number that never changed is zero. A category, an index, has one column of its own that is 1
    for it; the unknown index -1 has none. In their place among the features categories are zero,
    which spares picking the numbers out, the dearest step of a graph.

    The same steps with scikit-learn's transformers take ten times as long on a few hundred rows,
    longer than the model behind them. ``categorical`` are indexes of features, ``n_categories``
    how many each has. A graph does the same operations in float32 (`learning.linear_graph`).
    """

    def __init__(self, categorical: Sequence[int] = (), n_categories: Sequence[int] = ()) -> None:
        self.categorical, self.n_categories = categorical, n_categories

    def fit(self, x: Matrix, y: Any = None) -> Self:
        """Learn what fills, clips and scales; a column without any value is filled with zero."""
        numbers = np.array(x, dtype=np.float32)
        numbers[:, list(self.categorical)] = 0
        is_gap = np.isnan(numbers)
        fill = np.zeros(numbers.shape[1], dtype=np.float32)
        known = ~is_gap.all(axis=0)
        fill[known] = np.nanmedian(numbers[:, known], axis=0)
        numbers = np.where(is_gap, fill, numbers)
        self.fill_, self.low_, self.high_ = fill, numbers.min(axis=0), numbers.max(axis=0)
        with np.errstate(invalid="ignore", over="ignore"):  # what is infinite, the model refuses
            self.center_ = numbers.mean(axis=0, dtype=np.float64).astype(np.float32)
            spread = numbers.std(axis=0, dtype=np.float64)
        # One value gives a spread of nothing but rounding.
        is_one = (self.low_ == self.high_) | (spread == 0)
        self.center_[is_one] = self.low_[is_one]
        self.scale_ = (1 / np.where(is_one, 1.0, spread)).astype(np.float32)
        self.columns_ = np.repeat(self.categorical, self.n_categories).astype(np.int64)
        codes = [np.arange(n, dtype=np.float32) for n in self.n_categories]
        self.codes_ = np.concatenate([np.empty(0, dtype=np.float32), *codes])
        return self

    def transform(self, x: Matrix) -> Matrix:
        """The columns of encoded rows."""
        rows = np.asarray(x, dtype=np.float32)
        numbers: Matrix
        with np.errstate(invalid="ignore", over="ignore"):
            numbers = np.where(np.isnan(rows), self.fill_, rows)
            numbers = np.minimum(np.maximum(numbers, self.low_), self.high_)
            numbers = (numbers - self.center_) * self.scale_
        if not len(self.codes_):
            return numbers
        categories = rows[:, self.columns_] == self.codes_
        return np.concatenate([numbers, categories], axis=1, dtype=np.float32)

    @property
    def features_(self) -> list[int]:
        """The feature that each column belongs to."""
        return [*range(len(self.fill_)), *self.columns_.tolist()]

    def unit_scaling(self) -> tuple[Floats, Floats, Floats, Floats, Floats]:
        """Fill, then scale and shift to the unit range, then the mean and spread there.

        Each is of all features [n]; where only one value was seen, its place is zero.
        """
        low, high = self.low_.astype(np.float64), self.high_.astype(np.float64)
        scale = np.divide(1, high - low, out=np.zeros_like(low), where=high > low)
        center = (self.center_.astype(np.float64) - low) * scale
        spread = np.where(high > low, scale / self.scale_, 1.0)
        return self.fill_.astype(np.float64), scale, -low * scale, center, spread
