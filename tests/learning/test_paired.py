"""The gain and its error: DeLong by hand and against resampling, blocks where rows depend."""

from __future__ import annotations

import math
from itertools import product
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from learning import paired, resampling
from learning.paired import Estimate, Pair, delong_error, dependence, estimate_gain, placements
from learning.resampling import bootstrap_error


def output(score: Any) -> np.ndarray:
    positive = np.asarray(score, dtype=float)
    return np.column_stack([1 - positive, positive])


def auc_pair(y: Any, new: Any, old: Any) -> Pair:
    return Pair("binary", "roc_auc", np.asarray(y, dtype=float), output(new), output(old))


def by_definition(y: np.ndarray, score: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """V10 and V01 of DeLong et al. (1988): the kernel averaged over the other class."""
    positive, negative = score[y == 1], score[y == 0]
    kernel = np.array(
        [[1.0 if p > n else 0.5 if p == n else 0.0 for n in negative] for p in positive]
    )
    return kernel.mean(axis=1), kernel.mean(axis=0)


def test_a_small_example_by_hand() -> None:
    # Positives 0.9, 0.6, 0.4 against negatives 0.5, 0.4, 0.1:
    # V10 = 3/3, 3/3, 1.5/3 and V01 = 2/3, 2.5/3, 3/3.
    y, score = [1, 1, 1, 0, 0, 0], [0.9, 0.6, 0.4, 0.5, 0.4, 0.1]

    found = placements(np.array(y, dtype=float), np.array(score))

    assert found == pytest.approx([1, 1, 0.5, 2 / 3, 2.5 / 3, 1])
    # The other model is undecided: 1/2 everywhere, so the variance is that of this one:
    # var(1, 1, .5) / 3 + var(2/3, 2.5/3, 1) / 3 = (1/12) / 3 + (1/36) / 3.
    assert delong_error(auc_pair(y, score, [0.5] * 6)) == pytest.approx(math.sqrt(1 / 36 + 1 / 108))


@pytest.mark.parametrize("seed", range(5))
def test_the_error_is_that_of_the_structural_components(seed: int) -> None:
    rng = np.random.default_rng(seed)
    y = (rng.random(60) < 0.3).astype(float)
    new, old = rng.random((2, 60)).round(1)  # with ties

    sides = zip(by_definition(y, new), by_definition(y, old), strict=True)
    variance = sum(np.var(one - other, ddof=1) / len(one) for one, other in sides)

    pair = auc_pair(y, new, old)
    assert delong_error(pair) == pytest.approx(math.sqrt(variance))
    assert pair.gain() == pytest.approx(roc_auc_score(y, new) - roc_auc_score(y, old))


def test_delong_agrees_with_the_bootstrap() -> None:
    rng = np.random.default_rng(3)
    y = (rng.random(800) < 0.3).astype(float)
    shared = y + rng.normal(size=800)
    pair = auc_pair(y, shared, shared + rng.normal(size=800))

    error = bootstrap_error(pair.counted_gain(), 800, 1)

    assert delong_error(pair) == pytest.approx(error, rel=0.12)


def test_one_class_has_no_error_and_no_interval() -> None:
    pair = auc_pair([1.0] * 40, np.linspace(0, 1, 40), [0.5] * 40)

    assert math.isnan(delong_error(pair))
    assert all(math.isnan(end) for end in estimate_gain(pair).interval(0.95))


def test_the_interval_is_students() -> None:
    low, high = Estimate(1.0, 0.5, 10, "").interval(0.95)

    assert (low, high) == pytest.approx((1 - 0.5 * 2.2622, 1 + 0.5 * 2.2622), abs=1e-4)


def walk(rng: np.random.Generator, n: int, memory: float) -> np.ndarray:
    """An autoregression of unit variance."""
    steps = rng.normal(size=n) * math.sqrt(1 - memory**2)
    values = np.empty(n)
    values[0] = rng.normal()
    for place in range(1, n):
        values[place] = memory * values[place - 1] + steps[place]
    return values


def test_independent_rows_are_blocks_of_one_and_a_memory_is_found() -> None:
    rng = np.random.default_rng(0)

    alone = [dependence(rng.normal(size=500)) for _ in range(40)]
    bound = [dependence(walk(rng, 500, 0.8)) for _ in range(40)]

    assert sum(one == 1 for one in alone) >= 38
    assert 8 <= np.median(bound) <= 40
    assert dependence(np.zeros(500)) == dependence(np.arange(3.0)) == 1


@pytest.mark.parametrize(("memory", "block", "least"), [(0.0, None, 0.9), (0.7, None, 0.85)])
def test_intervals_cover_the_truth_also_where_rows_depend(
    memory: float, block: int | None, least: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resampling, "N_RESAMPLES", 100)
    rng = np.random.default_rng(1)
    covered = [_covers(walk(rng, 400, memory), block) for _ in range(100)]

    assert np.mean(covered) >= least
    if memory:  # rows drawn one by one are far too sure
        rng = np.random.default_rng(1)
        assert np.mean([_covers(walk(rng, 400, memory), 1) for _ in range(100)]) < 0.75


def _covers(difference: np.ndarray, block: int | None) -> bool:
    """Whether the interval of a difference of absolute errors holds its mean, which is nought."""
    zeros = np.zeros(len(difference))
    new, old = 10 - difference / 2, 10 + difference / 2
    pair = Pair("regression", "mae", zeros, new[:, None], old[:, None])
    low, high = estimate_gain(pair, block).interval(0.95)
    return low <= 0 <= high


def test_blocks_that_are_given_are_used_and_leave_ten_at_least() -> None:
    rng = np.random.default_rng(2)
    y = (rng.random(200) < 0.5).astype(float)
    pair = auc_pair(y, rng.random(200), rng.random(200))

    assert estimate_gain(pair, 1).method == "DeLong"
    assert estimate_gain(pair, 5).method == "bootstrap of blocks of 5 rows"
    assert estimate_gain(pair, 500).n_units == 10


@pytest.mark.parametrize(
    ("task", "metric"),
    list(product(["binary"], ["pr_auc", "accuracy", "log_loss", "brier"]))
    + list(product(["multiclass"], ["roc_auc", "accuracy"]))
    + list(product(["regression"], ["mae", "rmse", "r2"])),
)
def test_every_metric_prefers_the_truth_beyond_chance(task: Any, metric: str) -> None:
    rng = np.random.default_rng(4)
    if task == "regression":
        y = rng.normal(size=200)
        good, poor = y[:, None] + 0.1, rng.normal(size=(200, 1))
    else:
        n_classes = 2 if task == "binary" else 3
        y = rng.integers(0, n_classes, 200).astype(float)
        poor = rng.dirichlet(np.ones(n_classes), 200)
        good = 0.5 * np.eye(n_classes)[y.astype(int)] + 0.5 * poor

    low, _ = estimate_gain(Pair(task, metric, y, good, poor)).interval(0.95)

    assert low > 0


def test_the_looks_together_keep_to_the_error() -> None:
    assert sum(paired.significance_of(look) for look in range(1, 11)) < 1
    assert paired.significance_of(1) == 0.5


def test_the_margin_of_errors_is_a_share() -> None:
    assert paired.as_margin("roc_auc", 0.01, 0.02, 0.8) == 0.01
    assert paired.as_margin("mae", 0.01, 0.02, 50.0) == 1.0
    assert paired.as_margin("mae", 0.01, 0.02, math.nan) == 0.01
