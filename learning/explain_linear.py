"""Linear models as arrays: how columns are prepared, their coefficients and usual values."""

from __future__ import annotations

from typing import Any

import numpy as np

from learning.explain_outputs import margin_parts
from learning.models import Fitted
from learning.rows import Matrix

SCALING = ("fill", "unit_scale", "unit_shift", "center", "spread")


def linear_parts(fitted: Fitted, background: Matrix) -> dict[str, Any]:
    """Arrays of a linear model, columns as its pipeline orders them: numbers, then categories.

    ``mean`` is the mean of each prepared column over ``background``.
    """
    steps = fitted.pipeline.named_steps
    prepare, model = steps["prepare"], steps["model"]
    parts = margin_parts(fitted)
    return {
        "kind": np.str_("linear"),
        **parts,
        "column_feature": np.asarray(prepare.features_, dtype=np.int64),
        "codes": prepare.codes_.astype(np.float64),
        **dict(zip(SCALING, prepare.unit_scaling(), strict=True)),
        "mean": prepare.transform(background).mean(axis=0, dtype=np.float64),
        "coefficients": parts["mixture"] @ np.atleast_2d(np.asarray(model.coef_, np.float64)),
        "intercepts": parts["mixture"] @ np.atleast_1d(np.asarray(model.intercept_, np.float64)),
    }
