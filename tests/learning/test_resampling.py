"""Metrics from counts are those of the drawn rows; intervals are those of Efron's bootstrap."""

import math
from typing import Any

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as sk

from learning.counted import counted, counted_all
from learning.metrics import all_metrics, metric_function
from learning.performance_rules import METRICS
from learning.problem import Costs
from learning.resampling import bootstrap, bootstrap_all, bootstrap_error, resamples
from learning.rows import Floats

RNG = np.random.default_rng(0)
Y = (RNG.random(300) < 0.3).astype(float)
SCORE = np.clip(0.3 * Y + RNG.random(300) * 0.7, 0, 1)
OF_TASK = {
    "binary": (Y, np.column_stack([1 - SCORE, SCORE])),
    "multiclass": (RNG.integers(0, 3, 300).astype(float), RNG.dirichlet(np.ones(3), 300)),
    "regression": (RNG.normal(5, 2, 300), RNG.normal(5, 2, (300, 1))),
}


def mean_of(values: Floats) -> Any:
    return lambda counts: counts @ values / counts.sum(axis=1)


def drawn_rows(counts: Floats) -> list[np.ndarray]:
    return [np.repeat(np.arange(len(one)), one.astype(int)) for one in counts]


@pytest.mark.parametrize("decimals", [17, 1], ids=["distinct", "ties"])
@pytest.mark.parametrize("task", OF_TASK)
def test_every_metric_from_counts_is_that_of_the_drawn_rows(task: Any, decimals: int) -> None:
    y, output = OF_TASK[task]
    output = output.round(decimals)
    drawn = next(resamples(300, 7, 20))

    for metric in METRICS:
        function = metric_function(task, metric, 0.4)
        by_rows = [function(y[rows], output[rows]) for rows in drawn_rows(drawn)]
        assert counted(task, metric, y, output, 0.4)(drawn) == pytest.approx(by_rows, nan_ok=True)


@pytest.mark.parametrize("costs", [None, Costs(false_positive=1, false_negative=5)])
@pytest.mark.parametrize("task", OF_TASK)
def test_all_metrics_at_once_are_those_of_the_drawn_rows(task: Any, costs: Costs | None) -> None:
    y, output = OF_TASK[task]
    drawn = next(resamples(300, 7, 20))

    found = counted_all(task, y, output, 0.4, costs)(drawn)
    by_rows = [all_metrics(task, y[i], output[i], 0.4, costs) for i in drawn_rows(drawn)]

    assert list(found) == list(by_rows[0])
    for name, values in found.items():
        assert values == pytest.approx([one[name] for one in by_rows])


def test_areas_from_counts_are_those_of_sklearn_with_the_counts_as_weights() -> None:
    y, output = OF_TASK["binary"]
    drawn = next(resamples(300, 1, 10))
    theirs = [sk.roc_auc_score(y, SCORE, sample_weight=one) for one in drawn]
    precisions = [sk.average_precision_score(y, SCORE, sample_weight=one) for one in drawn]

    assert counted("binary", "roc_auc", y, output)(drawn) == pytest.approx(theirs)
    assert counted("binary", "pr_auc", y, output)(drawn) == pytest.approx(precisions)


def test_what_is_undefined_on_a_resample_is_nan_there_and_no_warning() -> None:
    y, output = np.array([1.0, 0, 0, 0]), np.full((4, 2), 0.5)
    counts = np.array([[0.0, 2, 1, 1], [4, 0, 0, 0], [1, 1, 1, 1]])

    area = counted("binary", "roc_auc", y, output)(counts)
    recall = counted("binary", "recall", y, output)(counts)

    assert area == pytest.approx([math.nan, math.nan, 0.5], nan_ok=True)
    assert recall == pytest.approx([math.nan, 1.0, 1.0], nan_ok=True)
    output[2] = math.nan
    assert np.isnan(counted("binary", "roc_auc", y, output)(counts)).all()


@pytest.mark.parametrize("block", [1, 7, 20])
def test_resamples_draw_as_many_rows_as_there_are_in_blocks(block: int) -> None:
    drawn = np.vstack(list(resamples(50, 3, 5_000, block)))

    assert drawn.shape == (5_000, 50)
    assert (drawn.sum(axis=1) == 50).all()
    assert drawn.mean(axis=0) == pytest.approx(np.ones(50), abs=0.1)
    # Neighbours, the last and the first too, come together as often as the blocks are long.
    together = (drawn * np.roll(drawn, 1, axis=1)).mean()
    alone = (drawn * np.roll(drawn, 25, axis=1)).mean()
    assert (together > alone + 0.3) == (block > 1)


def test_many_rows_are_drawn_in_parts_like_in_one(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = np.vstack(list(resamples(40, 5, 30, 3)))
    monkeypatch.setattr("learning.resampling.MOST_KEPT", 0)
    monkeypatch.setattr("learning.resampling.MOST_COUNTS", 100)
    parts = list(resamples(40, 5, 30, 3))

    assert len(parts) == 15
    assert (np.vstack(parts) == whole).all()


def test_windows_of_one_size_share_their_resamples_and_cannot_change_them() -> None:
    first, again = (list(resamples(50, 7, 30)) for _ in range(2))

    assert all(one is other for one, other in zip(first, again, strict=True))
    with pytest.raises(ValueError, match="read-only"):
        first[0][0, 0] = 9
    assert not np.array_equal(first[0], next(resamples(50, 8, 30)))


def test_the_bootstrap_of_nothing_is_undefined() -> None:
    never = bootstrap(lambda counts: np.full(len(counts), math.nan), 5, 0.95)

    assert np.isnan(never).all()
    assert np.isnan(bootstrap(mean_of(np.zeros(0)), 0, 0.95)).all()
    assert bootstrap_all(lambda counts: {"never": np.full(len(counts), math.nan)}, 5, 0.95) == {}
    assert math.isnan(bootstrap_error(mean_of(np.zeros(0)), 0, 1))


def test_the_bootstrap_leaves_undefined_resamples_out_and_repeats_itself() -> None:
    y = np.array([1.0, 0, 0, 0])  # a third of the resamples lacks the only positive
    area = counted("binary", "roc_auc", y, np.array([[0, 0.9], [0, 0.1], [0, 0.2], [0, 0.95]]))

    low, high = bootstrap(area, 4, 0.9, seed=3)

    assert 0 <= low <= 2 / 3 <= high <= 1
    assert (low, high) == bootstrap(area, 4, 0.9, seed=3)


def test_several_statistics_share_their_resamples() -> None:
    area = counted("binary", "roc_auc", *OF_TASK["binary"])

    both = bootstrap_all(lambda counts: {"area": area(counts), "twice": 2 * area(counts)}, 300, 0.9)

    assert both["area"] == bootstrap(area, 300, 0.9)
    assert both["twice"] == pytest.approx(tuple(2 * end for end in both["area"]))


def test_a_wider_confidence_gives_a_wider_interval() -> None:
    values = RNG.normal(size=80)
    narrow = bootstrap(mean_of(values), 80, 0.8)
    wide = bootstrap(mean_of(values), 80, 0.99)

    assert wide[0] < narrow[0] < narrow[1] < wide[1]


def test_nine_in_ten_intervals_of_a_mean_hold_the_truth() -> None:
    rng = np.random.default_rng(4)
    held = 0
    for seed in range(200):
        low, high = bootstrap(mean_of(rng.normal(size=100)), 100, 0.9, seed)
        held += low <= 0 <= high

    # Binomial(200, 0.9) lies in 166 … 193 with probability 0.999; percentiles run a little short.
    assert 162 <= held <= 194


def test_the_interval_and_the_error_are_those_of_scipy() -> None:
    values = np.random.default_rng(8).normal(size=200)
    theirs = stats.bootstrap(
        (values,), np.mean, n_resamples=4_000, method="percentile", rng=np.random.default_rng(1)
    )

    ours = bootstrap(mean_of(values), 200, 0.95, n_resamples=4_000)

    assert ours == pytest.approx(tuple(theirs.confidence_interval), abs=0.01)
    assert bootstrap_error(mean_of(values), 200, 1) == pytest.approx(
        float(theirs.standard_error), rel=0.15
    )
