"""Expected metrics: by hand, and equal to the metric itself where nothing is left to chance."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from learning.expected_metrics import expected_metric
from learning.metrics import all_metrics
from learning.performance_rules import METRICS

# Three answers: said positive at 0.9 and 0.6, negative at 0.2; what really happens as often.
OUTPUT = np.array([[0.1, 0.9], [0.4, 0.6], [0.8, 0.2]])
CHANCES = np.array([[0.2, 0.8], [0.5, 0.5], [0.9, 0.1]])


@pytest.mark.parametrize(
    ("metric", "expected"),
    [
        ("accuracy", (0.8 + 0.5 + 0.9) / 3),
        ("f1", 2 * (0.8 + 0.5) / (2 + 1.4)),
        (
            "brier",
            (0.8 * 0.01 + 0.2 * 0.81 + 0.5 * 0.16 + 0.5 * 0.36 + 0.1 * 0.64 + 0.9 * 0.04) / 3,
        ),
        # Pairs (positive, negative) in order: 0.8·(0.5 + 0.9) + 0.5·0.9; ties of a row with itself
        # count half: 0.8·0.2 + 0.5·0.5 + 0.1·0.9.
        ("roc_auc", (0.8 * 1.4 + 0.5 * 0.9 + 0.5 * (0.16 + 0.25 + 0.09)) / (1.4 * 1.6)),
        ("pr_auc", (0.8 * 0.8 / 1 + 1.3 / 2 * 0.5 + 1.4 / 3 * 0.1) / 1.4),
    ],
)
def test_three_answers_by_hand(metric: str, expected: float) -> None:
    assert expected_metric("binary", metric, CHANCES, OUTPUT, 0.5) == pytest.approx(expected)


def test_the_expected_log_loss_is_the_cross_entropy() -> None:
    found = expected_metric("binary", "log_loss", CHANCES[:1], OUTPUT[:1])

    assert found == pytest.approx(-0.8 * math.log(0.9) - 0.2 * math.log(0.1))


@pytest.mark.parametrize("metric", ["calibration_error", "mae"])
def test_what_cannot_be_foretold_is_undefined(metric: str) -> None:
    assert math.isnan(expected_metric("binary", metric, CHANCES, OUTPUT))
    assert math.isnan(expected_metric("multiclass", metric, CHANCES, OUTPUT))


def test_without_any_positive_chance_areas_are_undefined() -> None:
    none = np.tile([1.0, 0.0], (3, 1))

    assert math.isnan(expected_metric("binary", "roc_auc", none, OUTPUT))
    assert math.isnan(expected_metric("binary", "pr_auc", none, OUTPUT))


@given(st.integers(0, 2**32 - 1), st.integers(2, 4))
def test_with_certain_labels_the_expectation_is_the_metric(seed: int, n_classes: int) -> None:
    rng = np.random.default_rng(seed)
    output = rng.dirichlet(np.ones(n_classes), 40).round(1)  # rounded: with ties
    y = np.append(rng.integers(0, n_classes, 38), [0, 1]).astype(float)
    task = "binary" if n_classes == 2 else "multiclass"
    listed = all_metrics(task, y, output, 0.4)
    for metric in set(METRICS[task]) - {"calibration_error", "precision", "recall"}:
        certain = np.eye(n_classes)[y.astype(int)]
        found = expected_metric(task, metric, certain, output, 0.4)
        assert found == pytest.approx(listed[metric]), metric
