"""Every figure against scikit-learn or by hand, and where it is undefined."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sk
from sklearn.calibration import calibration_curve

from learning.metrics import (
    LOWER_IS_BETTER,
    all_metrics,
    calibration_error,
    default_metric,
    gain,
    metric_function,
    pr_auc,
    precision_recall_f1,
    regression_metrics,
    roc_auc,
)
from learning.performance_rules import METRICS
from learning.problem import Costs

RNG = np.random.default_rng(0)
Y = (RNG.random(300) < 0.3).astype(float)
SCORE = np.clip(0.3 * Y + RNG.random(300) * 0.7, 0, 1).round(2)  # rounded: with ties
BINARY = np.column_stack([1 - SCORE, SCORE])


def test_the_area_under_the_curve_is_undefined_with_one_class_or_no_rows() -> None:
    for y in (np.zeros(3), np.ones(3), np.array([])):
        assert math.isnan(roc_auc(y, np.arange(float(len(y)))))


def test_the_area_under_the_curve_counts_pairs_in_order_and_halves_ties() -> None:
    # Pairs (positive, negative): 0.8 > 0.1, 0.8 > 0.5, 0.5 > 0.1, 0.5 = 0.5.
    assert roc_auc(np.array([0, 0, 1, 1.0]), np.array([0.1, 0.5, 0.8, 0.5])) == 3.5 / 4


def test_precision_and_recall_are_undefined_where_nobody_is_called_or_nobody_is() -> None:
    none, some = np.zeros(2, dtype=bool), np.array([True, False])

    precision, recall, f1 = precision_recall_f1(np.array([1.0, 0]), none)
    assert math.isnan(precision)
    assert (recall, f1) == (0, 0)
    precision, recall, f1 = precision_recall_f1(np.zeros(2), some)
    assert (precision, f1) == (0, 0)
    assert math.isnan(recall)
    assert np.isnan(precision_recall_f1(np.zeros(2), none)).all()


def test_binary_metrics_equal_those_of_scikit_learn() -> None:
    said = SCORE >= 0.4
    expected = {
        "roc_auc": sk.roc_auc_score(Y, SCORE),
        "accuracy": sk.accuracy_score(Y, said),
        "precision": sk.precision_score(Y, said),
        "recall": sk.recall_score(Y, said),
        "f1": sk.f1_score(Y, said),
        "log_loss": sk.log_loss(Y, np.clip(SCORE, 1e-7, 1 - 1e-7)),
        "brier": sk.brier_score_loss(Y, SCORE),
        "pr_auc": sk.average_precision_score(Y, SCORE),
    }

    found = all_metrics("binary", Y, BINARY, 0.4)
    assert found.pop("calibration_error") >= 0
    assert found == pytest.approx(expected)


def test_the_calibration_error_agrees_with_the_curve_of_scikit_learn() -> None:
    foretold = RNG.random(300)
    share, said = calibration_curve(Y, foretold, n_bins=10)
    counts = np.bincount((foretold * 10).astype(int), minlength=10)

    expected = (counts * abs(share - said)).sum() / len(Y)

    assert calibration_error(Y, foretold) == pytest.approx(expected)


def test_average_precision_of_four_rows_by_hand() -> None:
    # Cuts at 0.8 (1 of 1 right, recall 1/2), at the tie 0.5 (2 of 3, recall 1), at 0.1.
    y, score = np.array([0, 0, 1, 1.0]), np.array([0.1, 0.5, 0.8, 0.5])

    assert pr_auc(y, score) == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)
    assert math.isnan(pr_auc(np.zeros(3), np.arange(3.0)))


def test_the_calibration_error_weighs_each_bin_by_its_rows() -> None:
    # Bin 0.2–0.3: foretold 0.25, none of three happened. Bin 0.9–1.0: foretold 1, it happened.
    happened, foretold = np.array([0, 0, 0, 1.0]), np.array([0.25, 0.25, 0.25, 1.0])

    assert calibration_error(happened, foretold) == pytest.approx(3 / 4 * 0.25)
    assert math.isnan(calibration_error(np.array([]), np.array([])))


def test_the_expected_cost_is_what_errors_cost_a_row() -> None:
    y, output = np.array([1.0, 1, 0, 0]), np.array([[0.9, 0.1], [0, 1], [0.2, 0.8], [1, 0]])
    costs = Costs(false_positive=2, false_negative=10)

    # One missed at 10 and one false alarm at 2, over four rows.
    assert all_metrics("binary", y, output, 0.5, costs)["expected_cost"] == 3
    assert "expected_cost" not in all_metrics("binary", y, output, 0.5)


def test_a_probability_on_the_threshold_is_called_positive() -> None:
    output = np.array([[0.5, 0.5], [0.51, 0.49]])

    assert all_metrics("binary", np.array([1.0, 0]), output, 0.5)["accuracy"] == 1


def test_certain_and_wrong_costs_much_but_not_everything() -> None:
    loss = all_metrics("binary", np.array([1.0, 0]), np.array([[1.0, 0], [0.0, 1]]))["log_loss"]

    assert loss == pytest.approx(-math.log(1e-7))


def test_multiclass_metrics_equal_those_of_scikit_learn_over_the_classes_present() -> None:
    y = RNG.integers(0, 3, 200).astype(float)
    output = RNG.dirichlet(np.ones(4), 200)  # the fourth class is absent
    said, present = output.argmax(axis=1), [0, 1, 2]
    expected = {
        "accuracy": sk.accuracy_score(y, said),
        "recall": sk.recall_score(y, said, labels=present, average="macro"),
        "f1": sk.f1_score(y, said, labels=present, average="macro"),
        "log_loss": sk.log_loss(y, output, labels=range(4)),
        "brier": ((output - np.eye(4)[y.astype(int)]) ** 2).sum(axis=1).mean(),
        "roc_auc": np.mean([sk.roc_auc_score(y == c, output[:, c]) for c in present]),
        "calibration_error": calibration_error((said == y).astype(float), output.max(axis=1)),
    }

    assert all_metrics("multiclass", y, output) == pytest.approx(expected)


def test_regression_metrics_equal_those_of_scikit_learn() -> None:
    y, value = RNG.normal(size=100), RNG.normal(size=(100, 1))
    expected = {
        "mae": sk.mean_absolute_error(y, value),
        "rmse": sk.root_mean_squared_error(y, value),
        "r2": sk.r2_score(y, value),
    }

    assert all_metrics("regression", y, value) == pytest.approx(expected)


def test_r2_of_a_constant_target_is_undefined_and_the_errors_are_not() -> None:
    found = regression_metrics(np.full(4, 2.0), np.array([1.0, 2, 3, 2]))

    assert found["mae"] == 0.5
    assert found["rmse"] == math.sqrt(0.5)
    assert math.isnan(found["r2"])


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_without_rows_there_are_no_metrics_and_no_warning(task: Any) -> None:
    empty = np.empty((0, 1 if task == "regression" else 2))

    assert all_metrics(task, np.array([]), empty) == {}
    for metric in ("roc_auc", "accuracy", "mae", "f1"):
        assert math.isnan(metric_function(task, metric)(np.array([]), empty))


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_each_metric_alone_equals_that_of_the_full_list(task: Any) -> None:
    output = SCORE[:, None] if task == "regression" else BINARY
    listed = all_metrics(task, Y, output, 0.4)

    assert set(listed) == set(METRICS[task])
    for metric, value in listed.items():
        assert metric_function(task, metric, 0.4)(Y, output) == pytest.approx(value), metric
    assert default_metric(task) in listed


@pytest.mark.parametrize(
    ("task", "metric"),
    [("regression", "accuracy"), ("binary", "mae"), ("multiclass", "pr_auc"), ("binary", "no")],
)
def test_a_metric_of_another_task_is_undefined(task: Any, metric: str) -> None:
    output = SCORE[:, None] if task == "regression" else BINARY

    assert math.isnan(metric_function(task, metric)(Y, output))


@pytest.mark.parametrize("metric", ["roc_auc", "accuracy", "f1", "recall", "precision", "r2"])
def test_more_of_a_score_is_a_gain(metric: str) -> None:
    assert gain(metric, new=0.75, old=0.5) == 0.25


@pytest.mark.parametrize("metric", sorted(LOWER_IS_BETTER))
def test_less_of_an_error_is_a_gain(metric: str) -> None:
    assert gain(metric, new=0.5, old=0.75) == 0.25


@given(st.integers(0, 2**32 - 1))
def test_a_better_output_gains_on_every_metric_that_has_a_direction(seed: int) -> None:
    rng = np.random.default_rng(seed)
    y = np.tile([0.0, 1.0], 20)
    good = np.abs(y - 0.1 * rng.random(40))
    bad = np.abs(1 - good)
    better = all_metrics("binary", y, np.column_stack([1 - good, good]))
    worse = all_metrics("binary", y, np.column_stack([1 - bad, bad]))

    assert all(gain(metric, better[metric], worse[metric]) > 0 for metric in better)
