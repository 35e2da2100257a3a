"""Estimates without labels: calibrated, with intervals that hold what the labels say later."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression

from learning.calibration import Scaling, calibrate, fit_scaling, fit_scalings
from learning.estimate import (
    draw_labels,
    estimate_by_confidence,
    estimate_by_loss,
    judge_estimate,
)
from learning.loss_model import fit_loss_model
from learning.metrics import metric_function
from learning.onnx_export import run_graph
from learning.problem import Feature, PerformanceRules
from learning.rows import Floats, Rows, Schema

EVEN = Scaling(1.0, 0.0)


def foretold(rng: np.random.Generator, n: int, shift: float = 0.0) -> tuple[Floats, Floats]:
    """Overconfident probabilities [n, 2] whose odds are doubled, and labels that know better."""
    odds = rng.normal(shift, 1.5, n)
    y = (rng.random(n) < expit(odds)).astype(float)
    said = expit(2 * odds + 0.5)
    return y, np.column_stack([1 - said, said])


def test_scaling_finds_what_bent_the_probabilities_and_agrees_with_scikit_learn() -> None:
    y, output = foretold(np.random.default_rng(0), 20_000)

    found = fit_scaling(y, output[:, 1])

    z = logit(np.clip(output[:, 1], 1e-6, 1 - 1e-6))
    theirs = LogisticRegression(C=1e9).fit(z[:, None], y)
    assert (found.slope, found.intercept) == pytest.approx((0.5, -0.25), abs=0.05)
    assert found.slope == pytest.approx(theirs.coef_[0, 0], abs=2e-3)
    assert found.intercept == pytest.approx(theirs.intercept_[0], abs=2e-3)


def test_the_covariance_is_how_much_the_scaling_varies() -> None:
    fits = [fit_scaling(y, o[:, 1]) for y, o in (foretold(np.random.default_rng(s), 400)
                                                  for s in range(150))]  # fmt: skip

    spread = np.std([one.slope for one in fits])

    assert spread == pytest.approx(math.sqrt(np.mean([f.slope_variance for f in fits])), rel=0.25)


@pytest.mark.parametrize("n_rows", [0, 1, 5])
def test_few_or_one_sided_rows_leave_the_probabilities_about_as_they_are(n_rows: int) -> None:
    found = fit_scaling(np.ones(n_rows), np.full(n_rows, 0.7))

    assert 0.7 <= calibrate(np.array([[0.3, 0.7]]), [found])[0, 1] < 0.97


def test_many_classes_are_scaled_each_and_sum_to_one() -> None:
    rng = np.random.default_rng(1)
    output = rng.dirichlet(np.ones(3), 500)
    y = draw_labels(output, rng)

    chances = calibrate(output, fit_scalings(y, output))

    np.testing.assert_allclose(chances.sum(axis=1), 1)
    np.testing.assert_allclose(chances, output, atol=0.12)


def test_labels_are_drawn_as_often_as_their_chance() -> None:
    chances = np.tile([0.2, 0.5, 0.3], (20_000, 1))

    drawn = draw_labels(chances, np.random.default_rng(2))

    np.testing.assert_allclose(np.bincount(drawn.astype(int)) / 20_000, [0.2, 0.5, 0.3], atol=0.02)


@pytest.mark.parametrize("metric", ["roc_auc", "accuracy", "log_loss", "f1"])
def test_nine_in_ten_intervals_hold_what_the_labels_say_also_when_the_inputs_move(
    metric: str,
) -> None:
    held, errors = 0, []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        scalings = fit_scalings(*foretold(rng, 300))
        y, output = foretold(rng, 400, shift=0.7)
        value, low, high = estimate_by_confidence("binary", metric, output, 0.5, scalings, 0.9)
        realised = metric_function("binary", metric)(y, output)
        held += low <= realised <= high
        errors.append(realised - value)

    # Binomial(40, 0.9) lies in 29 … 40 with probability 0.999.
    assert held >= 29
    assert abs(np.mean(errors)) < 0.02


def test_an_estimate_repeats_itself_and_sure_answers_leave_little_open() -> None:
    output = np.column_stack([1 - np.tile([0.001, 0.999], 50), np.tile([0.001, 0.999], 50)])

    first = estimate_by_confidence("binary", "accuracy", output, 0.5, [EVEN], 0.95)

    assert first == estimate_by_confidence("binary", "accuracy", output, 0.5, [EVEN], 0.95)
    assert first[0] == pytest.approx(0.999)
    assert 0.98 <= first[1] <= first[2] == 1


def test_what_cannot_be_estimated_says_so() -> None:
    output = np.full((200, 2), 0.5)
    numbers = estimate_by_confidence("binary", "calibration_error", output, 0.5, [EVEN], 0.95)

    found = judge_estimate("calibration_error", numbers, 200, PerformanceRules(), 0.1)

    assert (found.value, found.is_below_floor) == (None, False)
    assert found.reason == "calibration_error cannot be estimated without labels for this model"


@pytest.mark.parametrize(
    ("numbers", "n_rows", "floor", "is_below", "reason"),
    [
        ((0.7, 0.6, 0.8), 100, 0.81, True, "all below 0.810"),
        ((0.7, 0.6, 0.8), 100, 0.8, False, "not all below 0.800"),
        ((0.7, 0.6, 0.8), 99, 0.9, False, "roc_auc not estimated: 99 answers are fewer than 100"),
        ((0.7, 0.6, 0.8), 100, None, False, "for 100 answers, without their labels"),
    ],
)
def test_an_estimate_is_below_the_floor_when_all_of_its_interval_is(
    numbers: tuple[float, float, float], n_rows: int, floor: float | None, is_below: bool,
    reason: str,
) -> None:  # fmt: skip
    found = judge_estimate("roc_auc", numbers, n_rows, PerformanceRules(), floor)

    assert found.is_below_floor is is_below
    assert found.reason.endswith(reason)


def test_foretold_losses_average_to_the_error_with_a_normal_interval() -> None:
    losses = np.array([1.0, 3.0, -1.0, 2.0])  # no loss is below zero

    value, low, high = estimate_by_loss("mae", losses, 0.6, 60, 0.95)
    squared = estimate_by_loss("rmse", losses, 0.6, 60, 0.95)

    reach = 1.959964 * 0.6 * math.sqrt((1 + 9 + 4) / 4 * (1 / 4 + 3 / 60))
    assert (value, low, high) == pytest.approx((1.5, 1.5 - reach, 1.5 + reach))
    assert squared == pytest.approx([math.sqrt(x) for x in (value, low, high)])
    assert estimate_by_loss("mae", losses, 60.0, 60, 0.95)[1] == 0


SCHEMA = Schema("y", "regression", (Feature(name="x"),))


def noisy(
    rng: np.random.Generator, n: int, low: float = -2, high: float = 2
) -> tuple[Rows, Floats]:
    """Rows whose noise grows with |x|, and the outputs of a model that knows the mean."""
    x = rng.uniform(low, high, n)
    y = x + rng.normal(0, 0.2 + np.abs(x), n)
    times = np.arange(n).astype("datetime64[us]")
    return Rows(x[:, None].astype(np.float32), y, times), x[:, None]


@pytest.mark.parametrize("metric", ["mae", "rmse"])
def test_the_loss_model_sees_that_moved_inputs_are_harder(metric: str) -> None:
    held = 0
    for seed in range(12):
        rng = np.random.default_rng(seed)
        known, said = noisy(rng, 600)
        model = fit_loss_model(known, said, SCHEMA, metric, 0)
        assert model is not None
        rows, output = noisy(rng, 300, 0.9)
        losses = run_graph(model.graph, rows.x)[:, 0].astype(float)
        found = estimate_by_loss(metric, losses, model.spread, model.n_rows, 0.95)
        realised = metric_function("regression", metric)(rows.y, output)
        at_home = metric_function("regression", metric)(known.y, said)
        assert found[0] > at_home
        held += found[1] <= realised <= found[2]

    assert held >= 9


def test_without_a_loss_or_rows_there_is_no_loss_model() -> None:
    rows, output = noisy(np.random.default_rng(0), 100)

    assert fit_loss_model(rows, output, SCHEMA, "r2", 0) is None
    assert fit_loss_model(rows.part(slice(0, 5)), output[:5], SCHEMA, "mae", 0) is None
