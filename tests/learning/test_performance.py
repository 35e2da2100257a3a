"""Live performance is low only when even the better end of its interval is."""

import math

import numpy as np
import pytest

from learning.performance import (
    chosen_metric,
    expected_value,
    measure_performance,
    performance_floor,
)
from learning.problem import PerformanceRules

N = 400
Y = np.tile([0.0, 1.0], N // 2)


def answers(share_right: float, n: int = N) -> np.ndarray:
    """Probabilities that call this share of rows rightly."""
    right = np.arange(n) < share_right * n
    positive = np.where(right, Y[:n], 1 - Y[:n]) * 0.8 + 0.1
    return np.column_stack([1 - positive, positive])


def accuracy(**changes: object) -> PerformanceRules:
    return PerformanceRules.model_validate({"metric": "accuracy", **changes})


def test_too_few_labels_say_nothing_and_how_many_are_needed() -> None:
    result = measure_performance("binary", Y[:99], answers(0, 99), 0.5, accuracy(floor=0.9), None)

    assert (result.value, result.low, result.high, result.is_below_floor) == (None,) * 3 + (False,)
    assert result.reason == "accuracy not measurable: 99 labels are fewer than 100"
    assert result.floor == 0.9


def test_as_many_labels_as_needed_are_enough() -> None:
    result = measure_performance("binary", Y[:100], answers(0.8, 100), 0.5, accuracy(), None)

    assert (result.value, result.n_rows) == (0.8, 100)


def test_no_labels_at_all_say_nothing() -> None:
    result = measure_performance(
        "regression", np.array([]), np.empty((0, 1)), 0.5, PerformanceRules(), 1.0
    )

    assert result.reason == "mae not measurable: 0 labels are fewer than 100"


def test_one_class_leaves_the_area_under_the_curve_undefined() -> None:
    rules = PerformanceRules(metric="roc_auc", floor=0.9)

    result = measure_performance("binary", np.zeros(N), answers(0.5), 0.5, rules, None)

    assert (result.value, result.is_below_floor) == (None, False)
    assert result.reason == "roc_auc undefined on 400 labels: only one class among them"


def test_a_metric_of_another_task_is_named_as_such() -> None:
    rules = PerformanceRules(metric="mae")

    result = measure_performance("binary", Y, answers(1), 0.5, rules, None)

    assert result.reason == "mae undefined on 400 labels: the task is binary"


def test_far_below_the_floor_is_low_and_the_reason_holds_the_numbers() -> None:
    result = measure_performance("binary", Y, answers(0.6), 0.5, accuracy(floor=0.8), None)

    assert result.is_below_floor
    assert result.value == 0.6
    assert result.low is not None
    assert result.high is not None
    assert result.low < 0.6 < result.high < 0.8
    assert result.reason == (
        f"accuracy 0.600 [{result.low:.3f}, {result.high:.3f}] on 400 labels, all below 0.800"
    )
    assert result.metrics["accuracy"] == 0.6


def test_a_little_below_the_floor_may_be_chance() -> None:
    result = measure_performance("binary", Y, answers(0.79), 0.5, accuracy(floor=0.8), None)

    assert not result.is_below_floor
    assert result.reason.endswith("not all below 0.800")


def test_without_a_floor_nothing_is_low() -> None:
    result = measure_performance("binary", Y, answers(0.1), 0.5, accuracy(), None)

    assert (result.floor, result.is_below_floor) == (None, False)
    assert result.reason.endswith("on 400 labels")


@pytest.mark.parametrize(
    ("error", "spread", "is_low"),
    [(1.0, 0.02, False), (1.19, 0.02, False), (1.21, 1.0, False), (1.3, 0.02, True)],
)
def test_of_an_error_more_is_worse(error: float, spread: float, is_low: bool) -> None:
    y = np.zeros(N)
    output = np.tile([error - spread, error + spread], N // 2)[:, None]

    result = measure_performance("regression", y, output, 0.5, PerformanceRules(), 1.0)

    assert result.floor == 1.2
    assert result.is_below_floor is is_low
    assert ("not all above" in result.reason) is not is_low


def test_an_interval_that_ends_on_the_floor_is_not_below_it() -> None:
    result = measure_performance("binary", Y, answers(1), 0.5, accuracy(floor=1.0), None)

    assert (result.low, result.high, result.is_below_floor) == (1, 1, False)


@pytest.mark.parametrize(
    ("rules", "holdout", "floor"),
    [
        ({"floor": 0.7}, 0.9, 0.7),
        ({}, 0.9, 0.85),
        ({"max_drop": 0.2}, 0.9, 0.7),
        ({}, None, None),
        ({}, math.nan, None),
        ({"metric": "log_loss", "max_rise": 0.1}, 0.5, 0.55),
        ({"metric": "log_loss", "floor": 0.4}, 0.5, 0.4),
    ],
)
def test_the_floor_is_the_stated_one_or_the_holdout_less_the_drop(
    rules: dict[str, object], holdout: float | None, floor: float | None
) -> None:
    found = performance_floor("binary", PerformanceRules.model_validate(rules), holdout)

    assert found == (None if floor is None else pytest.approx(floor))


@pytest.mark.parametrize(
    ("metric", "holdout", "former", "expected"),
    [
        ("roc_auc", 0.9, None, 0.9),  # the first champion
        ("roc_auc", 0.9, 0.8, 0.9),  # better than what was expected before
        ("roc_auc", 0.6, 0.9, 0.75),  # made in the midst of a change
        ("mae", 4.0, 2.0, 3.0),
        ("mae", 2.0, 4.0, 2.0),
        ("roc_auc", None, 0.9, None),
        ("roc_auc", math.nan, 0.9, None),
    ],
)
def test_less_than_before_is_expected_half_way_only(
    metric: str, holdout: float | None, former: float | None, expected: float | None
) -> None:
    assert expected_value(metric, holdout, former) == (
        None if expected is None else pytest.approx(expected)
    )


def test_the_metric_is_the_named_one_or_that_of_the_task() -> None:
    assert chosen_metric("binary", PerformanceRules(metric="f1")) == "f1"
    assert chosen_metric("binary", PerformanceRules()) == "roc_auc"
    assert chosen_metric("multiclass", PerformanceRules()) == "accuracy"
    assert chosen_metric("regression", PerformanceRules()) == "mae"


def test_an_unchanged_model_is_rarely_called_low() -> None:
    rng = np.random.default_rng(0)
    low = 0
    for _ in range(60):
        y = (rng.random(300) < 0.5).astype(float)
        right = rng.random(300) < 0.8
        positive = np.where(right, y, 1 - y)
        output = np.column_stack([1 - positive, positive])
        low += measure_performance("binary", y, output, 0.5, accuracy(), 0.8).is_below_floor

    assert low <= 1
