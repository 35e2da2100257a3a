"""Linear models: each feature's coefficient times its distance from the usual value."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from api.explain_parts import (
    Arrays,
    Attribution,
    Floats,
    expect,
    expect_finite,
    read_outputs,
)

SCALING = ("fill", "unit_scale", "unit_shift", "center", "spread")


class LinearExplainer:
    """Shapley values of a linear model with independent features, which are exact.

    A prepared column contributes coefficient × (value - mean over the training rows), and a
    feature the sum over its columns (Štrumbelj and Kononenko 2014, section 3.1). The base value
    is the prediction at the mean.
    """

    method = "linear SHAP"

    def __init__(self, arrays: Arrays, n_features: int) -> None:
        self.outputs = read_outputs(arrays)
        self.n_features = n_features
        self._feature = arrays["column_feature"]
        self._codes = arrays["codes"]
        self._mean = arrays["mean"]
        self._coefficients = arrays["coefficients"]
        self._intercepts = arrays["intercepts"]
        self._fill, self._scale, self._shift, self._center, self._spread = (
            arrays[name] for name in SCALING
        )
        self._check(arrays)

    def predict(self, row: NDArray[np.float32]) -> Floats:
        """The scores of the explained outputs."""
        return np.asarray(self._coefficients @ self._prepared(row) + self._intercepts)

    def attribute(self, row: NDArray[np.float32], position: int) -> Attribution:
        """Contributions to one output."""
        coefficients = self._coefficients[position]
        moved = coefficients * (self._prepared(row) - self._mean)
        base = float(coefficients @ self._mean + self._intercepts[position])
        sums = np.bincount(self._feature, moved, minlength=self.n_features)
        return Attribution(base, sums.astype(np.float64))

    def _prepared(self, row: NDArray[np.float32]) -> Floats:
        n_numbers = len(self._fill)
        numbers = row[self._feature[:n_numbers]].astype(np.float64)
        numbers = np.where(np.isnan(numbers), self._fill, numbers)
        numbers = np.clip(numbers * self._scale + self._shift, 0.0, 1.0)
        is_category = row[self._feature[n_numbers:]] == self._codes
        return np.concatenate([(numbers - self._center) / self._spread, is_category])

    def _check(self, arrays: Arrays) -> None:
        n_columns, n_outputs = len(self._feature), len(self.outputs.columns)
        expect(self._feature.dtype.kind == "i" and self._feature.ndim == 1, "column_feature")
        known = (self._feature >= 0) & (self._feature < self.n_features)
        expect(bool(known.all()), "column_feature")
        shapes = {
            "mean": (n_columns,),
            "codes": (n_columns - len(self._fill),),
            "coefficients": (n_outputs, n_columns),
            "intercepts": (n_outputs,),
            **dict.fromkeys(SCALING, (len(self._fill),)),
        }
        for name, shape in shapes.items():
            expect(arrays[name].shape == shape, name)
            expect_finite(arrays[name], name)
        expect(bool((self._spread > 0).all()), "spread")
