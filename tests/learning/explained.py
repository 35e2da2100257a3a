"""Models of every kind and task with the explanations that shap and we give of them."""

from __future__ import annotations

import functools
import warnings
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from api.explain_file import read_explainer
from api.explain_parts import Explainer
from learning.explain import explanation_file
from learning.linear_inputs import LinearInputs
from learning.models import Fitted, fit
from learning.problem import Feature
from learning.rows import Matrix, Rows, Schema

Floats = NDArray[np.float64]

N_FEATURES, CATEGORICAL = 6, 1
PARAMETERS: dict[str, dict[str, Any]] = {
    "linear": {"strength": 1.0},
    "forest": {"min_samples_leaf": 2},
    "boosting": {"max_iter": 40, "learning_rate": 0.1, "max_leaf_nodes": 15},
    "lightgbm": {"n_estimators": 40, "learning_rate": 0.1, "num_leaves": 15},
}
N_CLASSES = {"regression": 0, "binary": 2, "multiclass": 3}
EVERY = [(kind, task) for kind in PARAMETERS for task in N_CLASSES]
TREES = [(kind, task) for kind, task in EVERY if kind != "linear"]


def schema_of(task: Any) -> Schema:
    """Six features, the second categorical with four categories."""
    features = tuple(
        Feature(name=f"f{i}", kind="categorical", categories=tuple("abcd"))
        if i == CATEGORICAL
        else Feature(name=f"f{i}")
        for i in range(N_FEATURES)
    )
    return Schema("y", task, features, tuple(str(i) for i in range(N_CLASSES[task])))


def inputs(n: int, seed: int) -> Matrix:
    """Rows with a long tail, unseen categories, and a tenth of the numbers missing."""
    chance = np.random.default_rng(seed)
    x = chance.normal(size=(n, N_FEATURES)).astype(np.float32)
    x[:, 0] = np.exp(2 * x[:, 0])
    is_missing = chance.random(x.shape) < 0.1
    x[is_missing] = np.nan
    x[:, CATEGORICAL] = chance.integers(-1, 4, size=n)
    return x


def rows_of(task: str, n: int = 400) -> Rows:
    """Labelled rows whose target has interactions."""
    x = inputs(n, seed=7)
    known = np.nan_to_num(x)
    score = 1.5 * known[:, 2] - known[:, 3] * (known[:, 1] == 2) + 0.2 * np.log1p(known[:, 0])
    score = score + 0.3 * np.random.default_rng(8).normal(size=n)
    if task == "regression":
        y = 100 * score
    else:
        y = np.digitize(score, [0.0] if task == "binary" else [-0.5, 0.7]).astype(np.float64)
    return Rows(x, y, np.arange(n).astype("datetime64[us]"))


@functools.cache
def fitted_of(kind: str, task: str) -> Fitted:
    return fit(kind, PARAMETERS[kind], rows_of(task), schema_of(task))


def explainer_of(fitted: Fitted, task: str) -> Explainer:
    content = explanation_file(fitted, rows_of(task).x)
    assert content is not None
    return read_explainer(content, N_FEATURES)


def contributions(explainer: Explainer, x: Matrix) -> Floats:
    """[rows, features, outputs]."""
    outputs = range(len(explainer.outputs.columns))
    return np.array(
        [
            np.column_stack([explainer.attribute(row, output).contributions for output in outputs])
            for row in x
        ]
    )


def bases(explainer: Explainer) -> list[float]:
    nothing = np.zeros(N_FEATURES, dtype=np.float32)
    n_outputs = len(explainer.outputs.columns)
    return [explainer.attribute(nothing, output).base for output in range(n_outputs)]


def shap_module() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its plots use what their library deprecates
        return pytest.importorskip("shap")


def prepared(fitted: Fitted, x: Matrix) -> tuple[Any, Floats, list[int]]:
    """The last estimator, its inputs, and the feature that each of its columns belongs to."""
    if fitted.kind in ("boosting", "lightgbm"):
        return fitted.pipeline, x.astype(np.float64), list(range(N_FEATURES))
    prepare = fitted.pipeline.named_steps["prepare"]
    features = _features_of(prepare)
    inputs_of = np.asarray(prepare.transform(x), dtype=np.float64)
    return fitted.pipeline.named_steps["model"], inputs_of, features


def _features_of(prepare: Any) -> list[int]:
    if isinstance(prepare, LinearInputs):
        return prepare.features_
    return [int(column) for _, _, columns in prepare.transformers_ for column in columns]


def shap_values(fitted: Fitted, task: str, x: Matrix) -> tuple[Floats, Floats]:
    """Contributions [rows, features, outputs] and base values, as shap's exact explainers say."""
    shap = shap_module()
    estimator, columns, features = prepared(fitted, x)
    if fitted.kind == "linear":
        background = prepared(fitted, rows_of(task).x)[1]
        masker = shap.maskers.Independent(background, max_samples=len(background))
        found = shap.LinearExplainer(estimator, masker)
        values = np.asarray(found.shap_values(columns))
    elif fitted.kind == "lightgbm":  # it has an explainer of its own, which shap asks as well
        return _lightgbm_values(fitted, task, columns)
    else:
        found = shap.TreeExplainer(estimator, feature_perturbation="tree_path_dependent")
        values = np.asarray(found.shap_values(columns, check_additivity=False))
    base = np.ravel(found.expected_value)
    values = values.reshape(len(x), len(features), -1)
    by_feature = np.zeros((len(x), N_FEATURES, values.shape[2]))
    for column, feature in enumerate(features):
        by_feature[:, feature] += values[:, column]
    if task == "binary":  # forests come with both classes
        return by_feature[:, :, -1:], base[-1:]
    if task == "multiclass" and fitted.kind != "forest":
        # Scores before the softmax: only their differences count.
        return by_feature - by_feature.mean(axis=2, keepdims=True), base - base.mean()
    return by_feature, base


def _lightgbm_values(fitted: Fitted, task: str, x: Floats) -> tuple[Floats, Floats]:
    found = np.asarray(fitted.pipeline.booster_.predict(x, pred_contrib=True))
    found = found.reshape(len(x), -1, N_FEATURES + 1).transpose(0, 2, 1)
    values, base = found[:, :N_FEATURES], found[0, N_FEATURES]
    if task == "multiclass":
        return values - values.mean(axis=2, keepdims=True), base - base.mean()
    return values, base
