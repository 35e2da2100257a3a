"""Which outputs of a model are explained, and how they mix its raw scores."""

from __future__ import annotations

from typing import Any

import numpy as np

from learning.models import Fitted
from learning.rows import Floats


def margin_parts(fitted: Fitted) -> dict[str, Any]:
    """Scale, link, outputs and `output_mixture` of a model that scores before it squashes.

    ``outputs`` names columns of the graph's output: the positive class, every class that training
    rows had, or the one value.
    """
    scale, link = ("log-odds", "softmax") if fitted.n_classes else ("value", "identity")
    outputs = fitted.classes or (0,)
    if fitted.n_classes == 2:
        link, outputs = "logistic", (1,)
    return {
        "scale": np.str_(scale),
        "link": np.str_(link),
        "outputs": np.asarray(outputs, dtype=np.int64),
        "mixture": output_mixture(fitted),
    }


def output_mixture(fitted: Fitted) -> Floats:
    """How each explained output is put together of raw scores: [outputs, raw scores].

    A softmax does not change when all scores move by the same amount, so what such a move
    contributes would explain nothing: several classes are explained by their scores against the
    mean of all. That is ln p(class) - mean of ln p, which a client can recompute.
    """
    if fitted.n_classes <= 2:
        return np.eye(1)
    if len(fitted.classes) == 2:  # the others had no rows, and one score tells two apart
        return np.array([[-0.5], [0.5]])
    n = len(fitted.classes)
    return np.asarray(np.eye(n) - 1 / n)


def probability_parts(fitted: Fitted) -> dict[str, Any]:
    """The same for a model whose raw scores are its answers: probabilities, or a value."""
    outputs = (1,) if fitted.n_classes == 2 else fitted.classes or (0,)
    return {
        "scale": np.str_("probability" if fitted.n_classes else "value"),
        "link": np.str_("identity"),
        "outputs": np.asarray(outputs, dtype=np.int64),
        "mixture": np.eye(len(outputs)),
    }
