"""Columns that know the answer are warned of, and those that merely help are not."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from learning.leaks import auc, find_leaks, mean_by_bin, r_squared
from learning.problem import Feature

N = 400
CHANCE = np.random.default_rng(0)


def test_the_area_under_the_curve_equals_that_of_sklearn() -> None:
    scores = CHANCE.integers(0, 20, 200).astype(float)
    positive = CHANCE.random(200) < 0.3

    assert auc(scores, positive) == pytest.approx(roc_auc_score(positive, scores))
    assert np.isnan(auc(scores, np.zeros(200, dtype=bool)))


def test_the_share_of_variance_is_worked_out_by_hand() -> None:
    assert r_squared(np.array([1.0, 2, 3]), np.array([1.0, 2, 3])) == 1
    assert r_squared(np.array([2.0, 2, 2]), np.array([1.0, 2, 3])) == 0
    assert np.isnan(r_squared(np.ones(3), np.ones(3)))


def test_a_row_says_nothing_about_its_own_bin_mean() -> None:
    target = CHANCE.standard_normal(500)

    predicted = mean_by_bin(np.arange(500), target)

    assert r_squared(predicted, target) < 0.01


@pytest.mark.parametrize("task", ["binary", "multiclass"])
def test_a_column_that_says_the_class_is_warned_of_and_noise_is_not(task: Any) -> None:
    names = np.array(["a", "b", "c"] if task == "multiclass" else ["a", "b"])
    codes = CHANCE.integers(0, len(names), N)
    frame = pd.DataFrame(
        {
            "copy": codes + CHANCE.normal(0, 0.1, N),
            "word": np.array(["x", "y", "z"])[codes],
            "noise": CHANCE.random(N),
        }
    )
    features = [
        Feature(name="copy"),
        Feature(name="word", kind="categorical"),
        Feature(name="noise"),
    ]

    found = find_leaks(frame, pd.Series(names[codes], dtype=object), features, task)

    assert [text.split(":")[0] for text in found] == ["copy", "word"]
    assert "AUC 1.000" in found[1]


def test_a_rare_flag_that_always_means_one_class_is_warned_of() -> None:
    positive = np.arange(2_000) % 20 == 0
    names = pd.Series(np.where(positive, "1", "0"), dtype=object)
    flag = positive & (np.arange(2_000) % 60 == 0)
    frame = pd.DataFrame({"flag": flag.astype(int), "other": np.arange(2_000) % 7 == 0})
    features = [Feature(name="flag"), Feature(name="other", kind="categorical")]

    (found,) = find_leaks(frame, names, features, "binary")

    assert found.startswith("flag: where it is 1, the target is 1 in 100.0% of 34 rows, 20.0 times")


def test_parts_of_a_sum_are_warned_of_and_a_noisy_predictor_is_not() -> None:
    small, large = CHANCE.integers(0, 10, 3_000), CHANCE.integers(0, 100, 3_000)
    total = small + large
    frame = pd.DataFrame(
        {"small": small, "large": large, "near": total + CHANCE.normal(0, 8, 3_000)}
    )
    features = [Feature(name=name) for name in frame]

    found = find_leaks(frame, pd.Series(total, dtype=float), features, "regression")

    assert [text.split(":")[0] for text in found] == ["large", "small and large"]
