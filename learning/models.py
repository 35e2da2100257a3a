"""The kinds of model, each a pipeline fitted on one float32 matrix."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import MinMaxScaler, OneHotEncoder, StandardScaler
from threadpoolctl import threadpool_limits

from learning.rows import Floats, Matrix, Rows, Schema

GRIDS: Mapping[str, tuple[dict[str, Any], ...]] = {
    "linear": ({"strength": 1.0}, {"strength": 0.03}),
    "forest": ({"min_samples_leaf": 2}, {"min_samples_leaf": 10}),
    "boosting": (
        {"max_iter": 100, "learning_rate": 0.1, "max_leaf_nodes": 31},
        {"max_iter": 120, "learning_rate": 0.05, "max_leaf_nodes": 8},
        {"max_iter": 300, "learning_rate": 0.1, "max_leaf_nodes": 31},
    ),
}


class TrainingError(ValueError):
    """These rows cannot train a model; the message says why and what to do."""


@dataclass(frozen=True)
class Fitted:
    """A fitted pipeline with the class indexes its columns stand for (empty for regression)."""

    kind: str
    parameters: dict[str, Any]
    pipeline: Any
    classes: tuple[int, ...]
    n_classes: int

    def output(self, x: Matrix) -> Floats:
        """Probabilities [n, classes of the problem], or values [n, 1]."""
        with threadpool_limits(1 if x.size < 1_000_000 else None):
            return self._output(x)

    def _output(self, x: Matrix) -> Floats:
        if not self.n_classes:
            return np.asarray(self.pipeline.predict(x), dtype=np.float64).reshape(-1, 1)
        found = np.asarray(self.pipeline.predict_proba(x), dtype=np.float64)
        if found.shape[1] == self.n_classes:
            return found
        # A class without training rows has the probability zero.
        output = np.zeros((len(x), self.n_classes))
        output[:, list(self.classes)] = found
        return output


def fit(
    kind: str, parameters: Mapping[str, Any], rows: Rows, schema: Schema, seed: int = 0
) -> Fitted:
    """Fit one kind of model (``linear``, ``forest``, ``boosting`` or ``dummy``) on labelled rows.

    Raises TrainingError without rows, when a classifier would see one class only, or when the
    library refuses the rows: one kind that cannot take them must not end a search.
    """
    if not len(rows):
        raise TrainingError("there are no labelled rows to train on")
    classes: tuple[int, ...] = ()
    if schema.task != "regression":
        classes = tuple(int(c) for c in np.unique(rows.y))
        if len(classes) < 2 and kind != "dummy":
            raise TrainingError(
                f"all {len(rows)} training rows have the label "
                f"{schema.classes[classes[0]]!r}; two classes are needed: wait for more labels"
            )
    estimator = _estimator(kind, dict(parameters), schema, seed)
    target = rows.y if schema.task == "regression" else rows.y.astype(np.int64)
    # Threads that wait for each other cost small fits more than they save, above all on a machine
    # that also answers predictions.
    x = _without_empty_columns(rows.x) if kind == "boosting" else rows.x
    try:
        with threadpool_limits(1 if rows.x.size < 1_000_000 else None):
            estimator.fit(x, target)
    except ValueError as error:
        raise TrainingError(f"{kind} cannot be fitted on {len(rows)} rows: {error}") from error
    if kind == "boosting":
        _snap_thresholds(estimator)
    return Fitted(kind, dict(parameters), estimator, classes, len(schema.classes))


def _estimator(kind: str, parameters: dict[str, Any], schema: Schema, seed: int) -> Any:
    is_regression = schema.task == "regression"
    if kind == "linear":
        strength = parameters["strength"]
        model = (
            Ridge(alpha=1 / strength)
            if is_regression
            else LogisticRegression(C=strength, max_iter=300, tol=1e-3)
        )
        return Pipeline([("prepare", _linear_inputs(schema)), ("model", model)])
    if kind == "forest":
        forest = RandomForestRegressor if is_regression else RandomForestClassifier
        model = forest(n_estimators=60, max_features=0.5, n_jobs=1, random_state=seed, **parameters)
        return Pipeline([("prepare", _tree_inputs(schema)), ("model", model)])
    if kind == "boosting":
        # No imputer or scaler: boosting handles NaN, and float32 parity depends on raw inputs.
        boosting = (
            HistGradientBoostingRegressor if is_regression else HistGradientBoostingClassifier
        )
        return boosting(random_state=seed, early_stopping=False, **parameters)
    if kind == "dummy":
        return (
            DummyRegressor(strategy="median")
            if is_regression
            else DummyClassifier(strategy="prior")
        )
    raise ValueError(f"unknown kind of model {kind!r}; expected one of {sorted(GRIDS)}")


def _without_empty_columns(x: Matrix) -> Matrix:
    """The rows with zeros where a column has no value at all, which boosting cannot bin.

    No tree splits on a constant, so that answers do not depend on the column.
    """
    is_empty = np.isnan(x).all(axis=0)
    return np.where(is_empty, np.float32(0), x) if is_empty.any() else x


def _snap_thresholds(boosting: Any) -> None:
    """Move each split threshold down to the nearest float32.

    For float32 inputs ``x <= t`` then means the same in float64 here and in float32 in the graph,
    also for values that lie on a threshold; no prediction on float32 rows changes.
    """
    for trees in boosting._predictors:
        for tree in trees:
            exact = tree.nodes["num_threshold"]
            with np.errstate(over="ignore"):
                near = exact.astype(np.float32)
            above = near.astype(np.float64) > exact
            near[above] = np.nextafter(near[above], np.float32(-np.inf))
            tree.nodes["num_threshold"] = near


def _columns(schema: Schema, kind: str) -> list[int]:
    return [index for index, feature in enumerate(schema.features) if feature.kind == kind]


def _linear_inputs(schema: Schema) -> ColumnTransformer:
    numeric, categorical = _columns(schema, "numeric"), _columns(schema, "categorical")
    steps: list[tuple[str, Any, list[int]]] = []
    if numeric:
        # Clipped to the training range first: a line drawn through a drifting input would
        # otherwise be followed far beyond anything that was ever seen.
        scaled = Pipeline(
            [("impute", _imputer()), ("clip", MinMaxScaler(clip=True)), ("scale", StandardScaler())]
        )
        steps.append(("numbers", scaled, numeric))
    if categorical:
        codes = [
            np.arange(max(1, len(schema.features[index].categories)), dtype=np.float32)
            for index in categorical
        ]
        encoder = OneHotEncoder(
            categories=codes, handle_unknown="ignore", sparse_output=False, dtype=np.float32
        )
        steps.append(("categories", encoder, categorical))
    return ColumnTransformer(steps)


def _tree_inputs(schema: Schema) -> ColumnTransformer:
    numeric, categorical = _columns(schema, "numeric"), _columns(schema, "categorical")
    steps: list[tuple[str, Any, Any]] = []
    if numeric:
        steps.append(("numbers", _imputer(), numeric))
    if categorical:
        steps.append(("codes", "passthrough", categorical))
    return ColumnTransformer(steps)


def _imputer() -> SimpleImputer:
    return SimpleImputer(strategy="median", keep_empty_features=True)
