"""Linear models as arrays: how columns are prepared, their coefficients and usual values."""

from __future__ import annotations

from typing import Any

import numpy as np

from learning.explain_outputs import margin_parts
from learning.models import Fitted
from learning.rows import Floats, Matrix

SCALING = ("fill", "unit_scale", "unit_shift", "center", "spread")


def linear_parts(fitted: Fitted, background: Matrix) -> dict[str, Any]:
    """Arrays of a linear model, columns as its pipeline orders them: numbers, then categories.

    ``mean`` is the mean of each prepared column over ``background``.
    """
    steps = fitted.pipeline.named_steps
    prepare, model = steps["prepare"], steps["model"]
    selected = {name: [int(i) for i in indexes] for name, _, indexes in prepare.transformers_}
    features, codes, scaling = [], np.empty(0), [np.empty(0)] * len(SCALING)
    if numbers := selected.get("numbers"):
        features += numbers
        scaling = _scaling(prepare.named_transformers_["numbers"], len(numbers))
    if categorical := selected.get("categories"):
        known = prepare.named_transformers_["categories"].categories_
        codes = np.concatenate(known)
        for feature, its_codes in zip(categorical, known, strict=True):
            features += [feature] * len(its_codes)
    parts = margin_parts(fitted)
    return {
        "kind": np.str_("linear"),
        **parts,
        "column_feature": np.asarray(features, dtype=np.int64),
        "codes": np.asarray(codes, dtype=np.float64),
        **dict(zip(SCALING, scaling, strict=True)),
        "mean": prepare.transform(background).mean(axis=0, dtype=np.float64),
        "coefficients": parts["mixture"] @ np.atleast_2d(np.asarray(model.coef_, np.float64)),
        "intercepts": parts["mixture"] @ np.atleast_1d(np.asarray(model.intercept_, np.float64)),
    }


def _scaling(numbers: Any, n: int) -> list[Floats]:
    """What fills a gap, then scale and shift to the unit range, then its mean and spread."""
    fill = numbers.named_steps["impute"].transform(np.full((1, n), np.nan, dtype=np.float32))[0]
    clip, scale = numbers.named_steps["clip"], numbers.named_steps["scale"]
    found = (fill, clip.scale_, clip.min_, scale.mean_, scale.scale_)
    return [np.asarray(values, dtype=np.float64) for values in found]
