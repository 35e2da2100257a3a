"""The estimators behind each kind of model, and what they are made to agree with their graphs."""

from __future__ import annotations

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

from learning.lightgbm_trees import lightgbm_estimator
from learning.linear_inputs import LinearInputs
from learning.rows import Matrix, Schema


def make_estimator(kind: str, parameters: dict[str, Any], schema: Schema, seed: int) -> Any:
    """An estimator that is not fitted yet; ValueError for a kind that nobody knows."""
    is_regression = schema.task == "regression"
    if kind == "linear":
        settings = dict(parameters)
        strength = settings.pop("strength")
        model = (
            Ridge(alpha=1 / strength)
            if is_regression
            else LogisticRegression(C=strength, max_iter=300, tol=1e-3, **settings)
        )
        return Pipeline([("prepare", _linear_inputs(schema)), ("model", model)])
    if kind == "forest":
        forest = RandomForestRegressor if is_regression else RandomForestClassifier
        settings = {"n_estimators": 60, **parameters}
        model = forest(max_features=0.5, n_jobs=1, random_state=seed, **settings)
        return Pipeline([("prepare", _tree_inputs(schema)), ("model", model)])
    if kind == "boosting":
        # No imputer or scaler: boosting handles NaN, and float32 parity depends on raw inputs.
        boosting = (
            HistGradientBoostingRegressor if is_regression else HistGradientBoostingClassifier
        )
        return _bin_by_rows(boosting(random_state=seed, early_stopping=False, **parameters))
    if kind == "lightgbm":
        return lightgbm_estimator(parameters, is_regression, seed)
    if kind == "dummy":
        return (
            DummyRegressor(strategy="median")
            if is_regression
            else DummyClassifier(strategy="prior")
        )
    raise ValueError(f"unknown kind of model {kind!r}")


def _bin_by_rows(boosting: Any) -> Any:
    """The same estimator, its bins the quantiles of the rows, whatever weights these are given.

    Each of up to 255 weighted quantiles of a feature is looked for by itself, for longer than all
    trees take to grow. Trees weigh the rows as before; bins only say where they may split.
    """
    bins = boosting._bin_data

    def bin_data(x: Matrix, _weights: Any, is_training_data: bool) -> Any:
        del boosting._bin_data  # what was fitted is to be kept without it
        return bins(x, None, is_training_data=is_training_data)

    boosting._bin_data = bin_data
    return boosting


def without_empty_columns(x: Matrix) -> Matrix:
    """The rows with zeros where a column has no value at all, which boosting cannot bin.

    No tree splits on a constant, so that answers do not depend on the column.
    """
    is_empty = np.isnan(x).all(axis=0)
    return np.where(is_empty, np.float32(0), x) if is_empty.any() else x


def snap_thresholds(boosting: Any) -> None:
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


def _linear_inputs(schema: Schema) -> LinearInputs:
    categorical = _columns(schema, "categorical")
    n_categories = [max(1, len(schema.features[index].categories)) for index in categorical]
    return LinearInputs(categorical, n_categories)


def _tree_inputs(schema: Schema) -> ColumnTransformer:
    numeric, categorical = _columns(schema, "numeric"), _columns(schema, "categorical")
    steps: list[tuple[str, Any, Any]] = []
    if numeric:
        fill = SimpleImputer(strategy="median", keep_empty_features=True)
        steps.append(("numbers", fill, numeric))
    if categorical:
        steps.append(("codes", "passthrough", categorical))
    return ColumnTransformer(steps)
