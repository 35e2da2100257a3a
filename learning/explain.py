"""What the API needs to explain a fitted model's answers: plain arrays in one small file."""

from __future__ import annotations

import io
from typing import Any

import numpy as np

from learning.explain_linear import linear_parts
from learning.explain_trees import boosting_parts, forest_parts, lightgbm_parts
from learning.models import Fitted
from learning.rows import Matrix

FORMAT = 1


def explanation_file(fitted: Fitted, background: Matrix) -> bytes | None:
    """A compressed npz of arrays that needs no pickle, or None for a kind without explanations.

    ``background`` [n, features] are the encoded training rows, which a linear model is compared
    with; trees carry the counts of their own. The same model gives the same bytes.
    """
    parts: dict[str, Any]
    if fitted.kind == "linear":
        parts = linear_parts(fitted, background)
    elif fitted.kind == "forest":
        parts = forest_parts(fitted, background.shape[1])
    elif fitted.kind == "boosting":
        parts = boosting_parts(fitted, background.shape[1])
    elif fitted.kind == "lightgbm":
        parts = lightgbm_parts(fitted, background.shape[1])
    else:
        return None
    if fitted.scaling is not None:
        # What is explained is the model's own score; the answer is its probability, calibrated.
        parts["calibration"] = np.array([fitted.scaling.slope, fitted.scaling.intercept])
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer, format=np.int64(FORMAT), n_features=np.int64(background.shape[1]), **parts
    )
    return buffer.getvalue()
