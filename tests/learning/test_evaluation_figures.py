"""The numbers behind an evaluation's pictures, against hand-counted ones and the definition."""

from __future__ import annotations

import json

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from learning.evaluation_figures import MOST_POINTS, calibration_bins, evaluation_figures


def binary(chances: list[float]) -> np.ndarray:
    one = np.array(chances)
    return np.column_stack([1 - one, one])


def test_a_binary_evaluation_in_numbers() -> None:
    y = np.array([0.0, 0.0, 1.0, 1.0])
    found = evaluation_figures(
        "binary", ("no", "yes"), y, binary([0.1, 0.6, 0.4, 0.9]), 0.5, {"x": 0.25, "y": np.nan}
    )
    assert found["confusion"] == {"classes": ["no", "yes"], "counts": [[1, 1], [1, 1]]}
    assert found["roc"]["yes"]["area"] == 0.75
    assert found["roc"]["yes"]["x"][0] == 0.0
    assert found["roc"]["yes"]["y"][-1] == 1.0
    assert found["precision_recall"]["yes"]["share"] == 0.5
    assert found["calibration"]["yes"]["n_rows"] == [1, 1, 1, 1]
    assert found["calibration"]["yes"]["happened"] == [0.0, 1.0, 0.0, 1.0]
    assert found["importance"] == {"x": 0.25}
    json.dumps(found, allow_nan=False)


def test_the_threshold_decides_the_confusion_matrix() -> None:
    y, output = np.array([0.0, 0.0, 1.0, 1.0]), binary([0.1, 0.6, 0.4, 0.9])
    found = evaluation_figures("binary", ("no", "yes"), y, output, 0.7, {})
    assert found["confusion"]["counts"] == [[2, 0], [1, 1]]


def test_each_of_many_classes_stands_against_the_rest() -> None:
    chance = np.random.default_rng(1)
    output = chance.dirichlet([1, 1, 1], size=400)
    y = np.array([chance.choice(3, p=row) for row in output], dtype=np.float64)
    found = evaluation_figures("multiclass", ("a", "b", "c"), y, output, 0.5, {})
    assert set(found["roc"]) == {"a", "b", "c"}
    area = roc_auc_score(y == 1, output[:, 1])
    assert found["roc"]["b"]["area"] == pytest.approx(area, abs=1e-5)
    assert len(found["roc"]["b"]["x"]) <= MOST_POINTS
    assert np.sum(found["confusion"]["counts"]) == 400


def test_a_class_without_both_sides_has_no_curve() -> None:
    found = evaluation_figures(
        "binary", ("no", "yes"), np.zeros(3), binary([0.1, 0.2, 0.3]), 0.5, {}
    )
    assert found["roc"] == found["calibration"] == {}
    assert found["confusion"]["counts"] == [[3, 0], [0, 0]]


def test_a_regression_shows_what_it_missed_by_how_much() -> None:
    y = np.arange(1000, dtype=np.float64)
    found = evaluation_figures("regression", (), y, (y + 2.0).reshape(-1, 1), 0.5, {})
    assert len(found["scatter"]["actual"]) == 5 * MOST_POINTS
    assert found["scatter"]["predicted"][0] == 2.0
    assert sum(found["residuals"]["counts"]) == 1000
    assert found["residuals"]["edges"][0] <= 2.0 <= found["residuals"]["edges"][-1]


def test_nothing_to_evaluate_gives_nothing_but_importance() -> None:
    found = evaluation_figures("regression", (), np.empty(0), np.empty((0, 1)), 0.5, {"x": 1.0})
    assert found == {"n_rows": 0, "importance": {"x": 1.0}}


def test_calibration_bins_are_equally_filled() -> None:
    score = np.arange(1, 101) / 100
    found = calibration_bins((score > 0.5).astype(int), score)
    assert found["n_rows"] == [10] * 10
    assert found["happened"] == [0.0] * 5 + [1.0] * 5
    assert found["foretold"][0] == pytest.approx(0.055)
