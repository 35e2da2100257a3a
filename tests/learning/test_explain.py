from __future__ import annotations

import io

import numpy as np
import pytest

from api.explain_file import read_explainer
from api.explain_parts import ExplanationError
from learning.calibration import Scaling
from learning.explain import explanation_file
from learning.models import fit
from learning.onnx_export import export, run_graph
from tests.learning.explained import (
    CATEGORICAL,
    EVERY,
    N_FEATURES,
    PARAMETERS,
    bases,
    contributions,
    explainer_of,
    fitted_of,
    inputs,
    rows_of,
    schema_of,
    shap_values,
)


@pytest.mark.parametrize(("kind", "task"), EVERY)
def test_contributions_are_those_of_shaps_exact_explainers(kind: str, task: str) -> None:
    fitted = fitted_of(kind, task)
    x = inputs(25, seed=1)
    explainer = explainer_of(fitted, task)
    expected, expected_base = shap_values(fitted, task, x)
    # Linear pipelines prepare their columns in float32, the explanation in float64.
    allowed = 1e-5 if kind == "linear" else 1e-6
    allowed *= 100 if task == "regression" else 1
    assert contributions(explainer, x) == pytest.approx(expected, abs=allowed)
    assert bases(explainer) == pytest.approx(expected_base, abs=allowed)


@pytest.mark.parametrize(("kind", "task"), EVERY)
def test_base_and_contributions_sum_to_what_the_graph_answers(kind: str, task: str) -> None:
    fitted = fitted_of(kind, task)
    explainer = explainer_of(fitted, task)
    x = inputs(60, seed=2)
    x[0] = np.nan
    x[0, CATEGORICAL] = -1
    x[1] = 3e38
    sums = contributions(explainer, x).sum(axis=1) + np.array(bases(explainer))
    found = np.array([explainer.outputs.answer(of_row) for of_row in sums])
    answers = run_graph(export(fitted, N_FEATURES), x)[:, list(explainer.outputs.columns)]
    assert found == pytest.approx(answers, abs=1e-4 if task == "regression" else 1e-6, rel=1e-5)
    own = np.array([explainer.predict(row) for row in x])
    assert sums == pytest.approx(own, abs=1e-9)


@pytest.mark.parametrize(("kind", "task"), EVERY)
def test_the_scale_is_named(kind: str, task: str) -> None:
    expected = "probability" if kind == "forest" else "log-odds"
    explainer = explainer_of(fitted_of(kind, task), task)
    assert explainer.outputs.scale == ("value" if task == "regression" else expected)


def test_a_linear_base_value_is_the_prediction_at_the_mean_of_the_training_rows() -> None:
    fitted = fitted_of("linear", "binary")
    scores = fitted.pipeline.decision_function(rows_of("binary").x)
    assert bases(explainer_of(fitted, "binary")) == pytest.approx([scores.mean()], abs=1e-6)


def test_a_missing_number_contributes_as_the_value_that_fills_it() -> None:
    for kind in ("linear", "forest"):
        fitted = fitted_of(kind, "binary")
        explainer = explainer_of(fitted, "binary")
        missing = inputs(1, seed=3)[0]
        missing[2] = np.nan
        filled = missing.copy()
        filled[2] = np.nanmedian(rows_of("binary").x[:, 2])
        assert contributions(explainer, missing[None]) == pytest.approx(
            contributions(explainer, filled[None]), abs=1e-7
        )


def test_a_model_that_lacks_a_class_explains_the_others() -> None:
    rows = rows_of("multiclass")
    two = rows.part(rows.y != 1)
    for kind, parameters in PARAMETERS.items():
        fitted = fit(kind, parameters, two, schema_of("multiclass"))
        content = explanation_file(fitted, two.x)
        assert content is not None
        explainer = read_explainer(content, N_FEATURES)
        assert explainer.outputs.columns == (0, 2)
        x = inputs(10, seed=5)
        answers = run_graph(export(fitted, N_FEATURES), x)[:, [0, 2]]
        own = [explainer.outputs.answer(explainer.predict(row)) for row in x]
        assert np.array(own) == pytest.approx(answers, abs=1e-6)
        with pytest.raises(ExplanationError, match="never saw"):
            explainer.outputs.position(1)


@pytest.mark.parametrize("kind", PARAMETERS)
def test_a_calibrated_answer_is_reached_from_the_explained_score(kind: str) -> None:
    fitted = fitted_of(kind, "binary").scaled(Scaling(0.6, -0.3))
    explainer = explainer_of(fitted, "binary")
    x = inputs(40, seed=6)
    sums = contributions(explainer, x).sum(axis=1) + np.array(bases(explainer))

    found = np.array([explainer.outputs.answer(of_row) for of_row in sums])

    assert explainer.outputs.calibration == (0.6, -0.3)
    assert found == pytest.approx(run_graph(export(fitted, N_FEATURES), x)[:, [1]], abs=1e-5)


def test_the_same_model_gives_the_same_bytes_without_a_pickle() -> None:
    fitted = fitted_of("boosting", "binary")
    first = explanation_file(fitted, rows_of("binary").x)
    assert first is not None
    assert first == explanation_file(fitted, rows_of("binary").x)
    with np.load(io.BytesIO(first), allow_pickle=False) as arrays:
        assert {array.dtype.kind for array in dict(arrays).values()} <= set("ifbU")


def test_a_dummy_has_no_explanation() -> None:
    fitted = fit("dummy", {}, rows_of("binary"), schema_of("binary"))
    assert explanation_file(fitted, rows_of("binary").x) is None
