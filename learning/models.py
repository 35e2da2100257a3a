"""The kinds of model, each a pipeline fitted on one float32 matrix."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
from threadpoolctl import ThreadpoolController

from learning.calibration import Scaling, calibrate
from learning.estimators import make_estimator, snap_thresholds, without_empty_columns
from learning.lightgbm_trees import is_lightgbm_installed, settle_lightgbm
from learning.rows import Floats, Matrix, Rows, Schema
from learning.windows import SMALLEST_HALF_LIFE

GRIDS: Mapping[str, tuple[dict[str, Any], ...]] = {
    "linear": ({"strength": 1.0}, {"strength": 0.03}),
    "forest": ({"min_samples_leaf": 2}, {"min_samples_leaf": 10}),
    "boosting": (
        {"max_iter": 100, "learning_rate": 0.1, "max_leaf_nodes": 31},
        {"max_iter": 120, "learning_rate": 0.05, "max_leaf_nodes": 8},
        {"max_iter": 300, "learning_rate": 0.1, "max_leaf_nodes": 31},
    ),
    "lightgbm": (
        {"n_estimators": 100, "learning_rate": 0.1, "num_leaves": 31},
        {"n_estimators": 120, "learning_rate": 0.05, "num_leaves": 8},
        {"n_estimators": 300, "learning_rate": 0.1, "num_leaves": 31},
    ),
}
# What counts trees, and how many of them are enough to compare candidates at a first glance.
TREES = {
    "forest": ("n_estimators", 20),
    "boosting": ("max_iter", 35),
    "lightgbm": ("n_estimators", 35),
}
# More trees than these learn by heart what few rows have: they need so many of them.
MANY_TREES, ROWS_FOR_MANY = 200, 10_000
# Settings that are ours, not the estimator's; a model is made again from its parameters alone.
HALF_LIFE, SLOPE, INTERCEPT = "half_life", "calibration_slope", "calibration_intercept"
# Probabilities nearer to 0 and 1 hold too few digits in float32 to be scaled alike in the graph.
SCALED_FROM = 1e-5


# What makes trees mean the same in float64 here and in float32 in a graph.
SETTLE: Mapping[str, Callable[[Any], None]] = {
    "boosting": snap_thresholds,
    "lightgbm": settle_lightgbm,
}


class TrainingError(ValueError):
    """These rows cannot train a model; the message says why and what to do."""


@dataclass(frozen=True)
class Fitted:
    """A fitted pipeline with the class indexes its columns stand for (empty for regression).

    ``scaling`` calibrates the positive class's probability of a binary task; None leaves it.
    """

    kind: str
    parameters: dict[str, Any]
    pipeline: Any
    classes: tuple[int, ...]
    n_classes: int
    scaling: Scaling | None = None

    def output(self, x: Matrix) -> Floats:
        """Probabilities [n, classes of the problem], or values [n, 1]."""
        with _pools(self.kind).limit(limits=1 if x.size < 1_000_000 else None):
            return self._output(x)

    def scaled(self, scaling: Scaling) -> Fitted:
        """The same model, its answers calibrated once more; its parameters say so."""
        if self.scaling is not None:
            scaling = scaling.after(self.scaling)
        ours = {SLOPE: scaling.slope, INTERCEPT: scaling.intercept}
        return replace(self, parameters={**self.parameters, **ours}, scaling=scaling)

    def _output(self, x: Matrix) -> Floats:
        if not self.n_classes:
            return np.asarray(self.pipeline.predict(x), dtype=np.float64).reshape(-1, 1)
        found = np.asarray(self.pipeline.predict_proba(x), dtype=np.float64)
        if self.scaling is not None:
            return calibrate(found, [self.scaling], SCALED_FROM)
        if found.shape[1] == self.n_classes:
            return found
        # A class without training rows has the probability zero.
        output = np.zeros((len(x), self.n_classes))
        output[:, list(self.classes)] = found
        return output


@cache
def _pools(_kind: str) -> ThreadpoolController:
    """The threads of the libraries that are loaded once there is a model of this kind.

    Looking for them takes 2 ms, a tenth of what a small fit does.
    """
    return ThreadpoolController()


def lighter(kind: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The same settings with fewer trees, for a first glance; of what has no trees, the same."""
    if kind not in TREES:
        return dict(parameters)
    name, few = TREES[kind]
    return {**parameters, name: min(parameters.get(name, few), few)}


def rows_for(parameters: Mapping[str, Any]) -> int:
    """How many rows settings need before they are worth a try."""
    n_trees = max(parameters.get(name, 0) for name in ("max_iter", "n_estimators"))
    return ROWS_FOR_MANY if n_trees > MANY_TREES else 0


def usable(kinds: Iterable[str]) -> tuple[str, ...]:
    """Those kinds, each once; ``boosting`` stands in for a LightGBM that cannot be loaded here."""
    stand_in = "lightgbm" if is_lightgbm_installed() else "boosting"
    return tuple(dict.fromkeys(stand_in if kind == "lightgbm" else kind for kind in kinds))


def recency_weights(n_rows: int, half_life: float) -> Floats:
    """Weights [n] of rows in time order: half as much every ``half_life`` of them, mean one.

    ``half_life`` is a share of the rows, but never under `SMALLEST_HALF_LIFE` of them.
    """
    age = np.arange(n_rows - 1, -1, -1, dtype=np.float64)
    weights = np.exp2(-age / max(half_life * n_rows, SMALLEST_HALF_LIFE))
    return np.asarray(weights / weights.mean())


def fit(
    kind: str,
    parameters: Mapping[str, Any],
    rows: Rows,
    schema: Schema,
    seed: int = 0,
    is_settled: bool = True,
) -> Fitted:
    """Fit one kind of model (a key of `GRIDS`, or ``dummy``) on labelled rows.

    Beside the estimator's own, ``parameters`` may hold `HALF_LIFE`, with which older rows weigh
    less, and for binary tasks `SLOPE` and `INTERCEPT` of the scaling that calibrates its answers.
    Where it is not settled, answers are the same, but no graph can be made of it.
    Raises TrainingError without rows, when a classifier would see one class only, or when the
    library refuses the rows: one kind that cannot take them must not end a search.
    """
    if kind != "dummy" and kind not in GRIDS:
        raise ValueError(f"unknown kind of model {kind!r}; expected one of {sorted(GRIDS)}")
    if kind == "lightgbm" and not is_lightgbm_installed():
        raise TrainingError("LightGBM cannot be loaded here; on Debian it needs libgomp1")
    classes = _classes(kind, rows, schema)
    settings = dict(parameters)
    half_life, slope = settings.pop(HALF_LIFE, None), settings.pop(SLOPE, None)
    intercept = settings.pop(INTERCEPT, 0.0)
    estimator = make_estimator(kind, settings, schema, seed)
    target = rows.y if schema.task == "regression" else rows.y.astype(np.int64)
    weights = None if half_life is None else recency_weights(len(rows), half_life)
    # Threads that wait for each other cost small fits more than they save, above all on a machine
    # that also answers predictions.
    x = without_empty_columns(rows.x) if kind == "boosting" else rows.x
    try:
        # Products of finite rows were seen to set the flag of an invalid value, once in thousands
        # of fits; what comes out is looked at below.
        with (
            np.errstate(invalid="ignore" if kind == "linear" else None),
            _pools(kind).limit(limits=1 if rows.x.size < 1_000_000 else None),
        ):
            estimator.fit(x, target, **_weighted(estimator, weights))
    except ValueError as error:
        raise TrainingError(f"{kind} cannot be fitted on {len(rows)} rows: {error}") from error
    if kind == "linear" and not np.isfinite(estimator[-1].coef_).all():
        raise TrainingError(f"linear cannot be fitted on {len(rows)} rows: it does not converge")
    if is_settled and kind in SETTLE:
        SETTLE[kind](estimator)
    scaling = None if slope is None else Scaling(slope, intercept)
    return Fitted(kind, dict(parameters), estimator, classes, len(schema.classes), scaling)


def _classes(kind: str, rows: Rows, schema: Schema) -> tuple[int, ...]:
    if not len(rows):
        raise TrainingError("there are no labelled rows to train on")
    if schema.task == "regression":
        return ()
    classes = tuple(int(c) for c in np.unique(rows.y))
    if len(classes) < 2 and kind != "dummy":
        raise TrainingError(
            f"all {len(rows)} training rows have the label "
            f"{schema.classes[classes[0]]!r}; two classes are needed: wait for more labels"
        )
    return classes


def _weighted(estimator: Any, weights: Floats | None) -> dict[str, Floats]:
    """How an estimator, or the last step of a pipeline, is given its weights."""
    if weights is None:
        return {}
    return {"model__sample_weight" if hasattr(estimator, "steps") else "sample_weight": weights}
