"""A second model that foretells how wrong a regression will be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from learning.models import TrainingError, fit
from learning.onnx_export import export
from learning.rows import Floats, Rows, Schema

LossKind = Literal["absolute", "squared"]
SETTINGS = {"max_iter": 40, "learning_rate": 0.1, "max_leaf_nodes": 5}
N_FOLDS = 3


@dataclass(frozen=True)
class LossModel:
    """Its graph, what it foretells, and how far losses stray from that, relative to it."""

    graph: bytes
    kind: LossKind
    spread: float
    n_rows: int


def loss_kind(metric: str) -> LossKind | None:
    """Which loss a metric is a mean of; None where it is none."""
    kinds: dict[str, LossKind] = {"mae": "absolute", "rmse": "squared"}
    return kinds.get(metric)


def fit_loss_model(
    holdout: Rows, output: Floats, schema: Schema, metric: str, seed: int
) -> LossModel | None:
    """A model of the losses of outputs [n, 1] on the holdout; None where there is nothing to fit.

    Direct loss estimation as in NannyML. The spread, √(Σ (loss − foretold)² / Σ foretold²), is
    measured on blocks of the holdout that the model was not fitted on.
    """
    kind = loss_kind(metric)
    if kind is None or len(holdout) < 2 * N_FOLDS:
        return None
    errors = np.abs(output[:, 0] - holdout.y)
    losses = errors if kind == "absolute" else errors**2
    rows = Rows(holdout.x, losses, holdout.times)
    try:
        fitted = fit("boosting", SETTINGS, rows, schema, seed)
        foretold = _foretold(rows, schema, seed)
    except TrainingError:
        return None
    spread = float(np.sqrt(((losses - foretold) ** 2).sum() / max((foretold**2).sum(), 1e-12)))
    return LossModel(export(fitted, len(schema.features)), kind, spread, len(rows))


def _foretold(rows: Rows, schema: Schema, seed: int) -> Floats:
    found = np.empty(len(rows))
    for block in np.array_split(np.arange(len(rows)), N_FOLDS):
        others = np.setdiff1d(np.arange(len(rows)), block)
        fitted = fit("boosting", SETTINGS, rows.part(others), schema, seed)
        found[block] = np.maximum(fitted.output(rows.x[block])[:, 0], 0.0)
    return found
