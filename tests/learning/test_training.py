"""A challenger never sees its holdout, its threshold is the cheapest, and refusals say why."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import learning.search
import learning.training
from learning.metrics import all_metrics
from learning.models import GRIDS, TrainingError, fit
from learning.onnx_export import export, run_graph
from learning.problem import Costs, Feature, Problem
from learning.rows import Rows, Schema
from learning.search import Candidate
from learning.training import (
    Challenger,
    cheapest_threshold,
    feature_importance,
    ideal_threshold,
    needs_search,
    settle,
    train_challenger,
)

FEATURES = (Feature(name="signal"), Feature(name="noise"))
SCHEMA = Schema("y", "binary", FEATURES, ("no", "yes"))
VALUE = Schema("y", "regression", FEATURES)
LINEAR = {"models": ["linear"], "windows": ["all"]}


def problem_of(**changes: Any) -> Problem:
    fields = {"target": "y", "search": LINEAR, "gate": {"backtest_share": 0}, **changes}
    return Problem.model_validate(fields)


def rows_of(n: int, seed: int = 0, share: float = 0.5) -> Rows:
    """Rows an hour apart whose class shifts ``signal`` by one and a half deviations."""
    rng = np.random.default_rng(seed)
    y = (rng.random(n) < share).astype(float)
    x = np.column_stack([1.5 * y + rng.normal(size=n), rng.normal(size=n)]).astype(np.float32)
    return Rows(x, y, np.arange(n).astype("datetime64[h]").astype("datetime64[us]"))


def train(
    rows: Rows, end: Any = None, problem: Problem | None = None, schema: Schema = SCHEMA
) -> Challenger:
    return train_challenger(rows, end, problem or problem_of(), schema, elapsed=lambda: 0.0)


# --- a search, or the champion's settings again ---


@pytest.mark.parametrize(
    ("searched", "n_rows", "trigger", "is_due"),
    [
        (None, 100, "volume", True),  # nobody knows
        (500, 999, "volume", False),
        (500, 1_000, "drift", True),  # twice the rows
        (500, 749, "performance", False),
        (500, 750, "estimate", True),  # half as many more, where there is harm
        (500, 501, "manual", True),
        (500, 501, "bootstrap", True),
    ],
)
def test_a_search_is_due_when_there_is_much_new_to_be_found(
    searched: int | None, n_rows: int, trigger: str, is_due: bool
) -> None:
    assert needs_search(n_rows, searched, trigger) is is_due


def test_the_champions_settings_are_fitted_again_until_a_search_is_due() -> None:
    problem = problem_of(search={"models": ["linear", "forest"], "windows": ["all"]})
    first = Candidate("forest", {"min_samples_leaf": 7}, "all")

    def again(searched_rows: int | None) -> Challenger:
        return train_challenger(
            rows_of(400), None, problem, SCHEMA, lambda: 0.0, with_graph=False,
            first=first, searched_rows=searched_rows,
        )  # fmt: skip

    refitted, searched = again(300), again(None)
    tried = {(t.round, t.candidate.kind) for t in refitted.search.trials}
    assert tried == {(0, "forest"), (0, "linear")}
    assert refitted.search.best in (first, Candidate("linear", {"strength": 1.0}, "all"))
    assert {t.round for t in searched.search.trials} == {0, 1, 2}
    assert (refitted.searched_rows, searched.searched_rows) == (300, 400)
    assert (refitted.scalings, refitted.loss) == ((), None)


# --- refusals ---


@pytest.mark.parametrize(("n", "sizes"), [(0, "0 training and 0"), (109, "59 training and 50")])
def test_too_few_rows_are_refused_with_how_many_are_needed(n: int, sizes: str) -> None:
    with pytest.raises(TrainingError, match=f"{sizes} holdout rows; at least 60 and 50 are needed"):
        train(rows_of(n))


def test_too_few_rows_newer_than_the_champion_are_refused() -> None:
    rows = rows_of(500)

    with pytest.raises(TrainingError, match="451 training and 49 holdout rows"):
        train(rows, rows.times[450])


def test_one_class_is_refused_with_the_target() -> None:
    with pytest.raises(TrainingError, match="target 'y': all 225 training rows have one label"):
        train(rows_of(300, share=0))


def test_rows_without_a_label_do_not_count() -> None:
    rows = rows_of(300)
    rows.y[::2] = np.nan

    challenger = train(rows)

    assert len(challenger.training) + len(challenger.holdout) == 150
    assert not np.isnan(challenger.training.y).any()


# --- the holdout ---


@pytest.mark.parametrize("end", [None, 250])
def test_nothing_is_fitted_on_the_holdout(monkeypatch: pytest.MonkeyPatch, end: int | None) -> None:
    rows = rows_of(400)
    newest: list[np.datetime64] = []

    def watched(kind: str, parameters: Any, given_rows: Rows, *rest: Any, **more: Any) -> Any:
        newest.append(given_rows.times[-1])
        return fit(kind, parameters, given_rows, *rest, **more)

    monkeypatch.setattr(learning.search, "fit", watched)
    monkeypatch.setattr(learning.training, "fit", watched)
    champion_end = None if end is None else rows.times[end]

    challenger = train(rows, champion_end)

    assert len(newest) > 5
    assert max(newest) < challenger.holdout.times[0]
    assert max(newest) == challenger.training.times[-1]
    if champion_end is not None:
        assert challenger.holdout.times[0] > champion_end


def test_a_challenger_carries_its_proof() -> None:
    challenger = train(rows_of(600), problem=problem_of(gate={"max_parity_difference": 1e-5}))

    x, y = challenger.holdout.x, challenger.holdout.y
    np.testing.assert_allclose(run_graph(challenger.graph, x), challenger.output, atol=1e-6)
    costs = problem_of().costs
    assert challenger.metrics == all_metrics(
        "binary", y, challenger.output, challenger.threshold, costs
    )
    assert challenger.metrics["roc_auc"] > 0.75
    assert (np.ptp(challenger.dummy_output, axis=0) == 0).all()
    assert challenger.parity.holds
    assert challenger.parity.n_rows >= 10_000
    assert challenger.window == challenger.search.best.window == "all"


def test_training_twice_gives_the_same_graph_and_threshold() -> None:
    problem = problem_of(search={"models": ["forest"], "windows": ["all"], "folds": 1})

    first, second = (train(rows_of(250), problem=problem) for _ in range(2))

    assert first.graph == second.graph
    assert first.threshold == second.threshold


def test_a_regression_has_a_middle_threshold_and_is_judged_by_its_error() -> None:
    rows = rows_of(300)
    rows.y[:] = rows.x[:, 0] * 2 + 1

    challenger = train(rows, schema=VALUE)

    assert (challenger.threshold, challenger.metric) == (0.5, "mae")
    assert challenger.metrics["mae"] < 0.3
    assert challenger.output.shape == (75, 1)


# --- the threshold ---


def cost_of(y: np.ndarray, probability: np.ndarray, threshold: float, costs: Costs) -> float:
    said = probability >= threshold
    return float(
        costs.false_positive * (said & (y == 0)).sum()
        + costs.false_negative * (~said & (y == 1)).sum()
    )


PRICES = st.sampled_from([0.0, 0.1, 1.0, 3.0, 50.0])
ROW = st.tuples(
    st.integers(0, 1),
    st.one_of(st.sampled_from([0.0, 0.1, 0.5, 0.9, 1.0]), st.floats(0, 1, width=32)),
)


@given(st.lists(ROW, min_size=1, max_size=30), PRICES, PRICES)
def test_no_threshold_is_cheaper_than_the_chosen_one(
    rows: list[tuple[int, float]], false_positive: float, false_negative: float
) -> None:
    y, probability = (np.array(column, dtype=float) for column in zip(*rows, strict=True))
    costs = Costs(false_positive=false_positive, false_negative=false_negative)

    chosen = cheapest_threshold(y, probability, costs)

    assert 0 <= chosen <= 1
    if len(set(y)) == 2:
        every = [cost_of(y, probability, cut, costs) for cut in (0.0, *probability, 1.0)]
        assert cost_of(y, probability, chosen, costs) == pytest.approx(min(every))


def test_rows_of_one_probability_are_never_divided() -> None:
    y = np.array([0.0, 1, 0, 1, 1])
    probability = np.array([0.4, 0.4, 0.4, 0.4, 0.9])

    # Between 0.4 and 0.9 two positives are missed; at or below 0.4 two negatives are alarmed.
    dear = cheapest_threshold(y, probability, Costs(false_positive=1, false_negative=3))
    cheap = cheapest_threshold(y, probability, Costs(false_positive=3, false_negative=1))

    assert dear <= 0.4 < cheap <= 0.9


def test_a_row_of_probability_one_is_positive_at_every_threshold() -> None:
    y, probability = np.array([1.0, 0]), np.array([0.5, 1.0])

    assert cheapest_threshold(y, probability, Costs(false_positive=50)) <= 0.5


def test_of_equally_cheap_cuts_the_nearest_to_the_ideal_wins() -> None:
    y, probability = np.array([0.0, 0, 1, 1]), np.array([0.2, 0.3, 0.6, 0.7])
    free = Costs(false_positive=0, false_negative=0)

    assert cheapest_threshold(y, probability, Costs()) == pytest.approx(0.45)
    # Cuts are 0, 0.25, 0.45, 0.65 and 1, all free; the ideal is then 0.5.
    assert cheapest_threshold(y, probability, free) == pytest.approx(0.45)


@pytest.mark.parametrize(("prices", "ideal"), [((1, 1), 0.5), ((1, 4), 0.2), ((0, 0), 0.5)])
def test_with_one_class_the_costs_alone_decide(prices: tuple[float, float], ideal: float) -> None:
    costs = Costs(false_positive=prices[0], false_negative=prices[1])

    assert ideal_threshold(costs) == ideal
    assert cheapest_threshold(np.zeros(5), np.linspace(0, 1, 5), costs) == ideal


@pytest.mark.parametrize("n_rows", [2_000, 450])
def test_dear_misses_lower_the_threshold_also_on_a_short_window(n_rows: int) -> None:
    rows, problem = rows_of(n_rows), problem_of(costs={"false_negative": 9})
    fitted = fit("linear", GRIDS["linear"][0], rows, SCHEMA)

    threshold = settle(fitted, rows, SCHEMA, problem, block=300).threshold

    newer = rows_of(2_000, seed=1)
    score = fitted.output(newer.x)[:, 1]
    assert threshold < 0.3
    assert threshold != ideal_threshold(problem.costs)  # the rows had their say
    dear = problem.costs
    assert cost_of(newer.y, score, threshold, dear) < 0.7 * cost_of(newer.y, score, 0.5, dear)


def test_too_short_a_window_leaves_the_costs_to_decide() -> None:
    rows, problem = rows_of(89), problem_of(costs={"false_negative": 4})
    fitted = fit("linear", GRIDS["linear"][0], rows, SCHEMA)

    assert settle(fitted, rows, SCHEMA, problem, block=30).threshold == 0.2


# --- calibration ---


def boastful(n: int, seed: int = 0) -> Rows:
    """Rows on which a grown tree is surer than it may be: one weak feature, one of noise."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 2)).astype(np.float32)
    y = (rng.random(n) < 1 / (1 + np.exp(-x[:, 0]))).astype(float)
    return Rows(x, y, np.arange(n).astype("datetime64[us]"))


def test_boastful_probabilities_are_scaled_and_the_graph_says_the_same() -> None:
    rows, problem, newer = boastful(900), problem_of(), boastful(2_000, seed=1)
    fitted = fit("forest", {"min_samples_leaf": 1}, rows, SCHEMA)

    calibrated = settle(fitted, rows, SCHEMA, problem, block=300).fitted

    before, after = (
        all_metrics("binary", newer.y, one.output(newer.x)) for one in (fitted, calibrated)
    )
    assert after["log_loss"] < before["log_loss"] - 0.02
    assert after["calibration_error"] < before["calibration_error"] / 2
    assert after["roc_auc"] == pytest.approx(before["roc_auc"])
    graph = run_graph(export(calibrated, 2), newer.x)
    np.testing.assert_allclose(graph, calibrated.output(newer.x), atol=1e-5)


def test_a_calibrated_model_is_made_again_from_its_parameters() -> None:
    rows = boastful(900)
    fitted = fit("forest", {"min_samples_leaf": 1}, rows, SCHEMA)
    calibrated = settle(fitted, rows, SCHEMA, problem_of(), block=300).fitted
    kept = json.loads(json.dumps(calibrated.parameters))

    again = fit("forest", kept, rows, SCHEMA)

    assert export(again, 2) == export(calibrated, 2)


@pytest.mark.parametrize(("kind", "n"), [("linear", 200), ("linear", 2_000), ("boosting", 2_000)])
def test_weights_of_classes_do_not_stay_in_the_probabilities(kind: str, n: int) -> None:
    rows, newer = rows_of(n, share=0.1), rows_of(5_000, seed=1, share=0.1)
    parameters = {**GRIDS[kind][0], "class_weight": "balanced"}
    weighed = fit(kind, parameters, rows, SCHEMA)

    settled = settle(weighed, rows, SCHEMA, problem_of(), 100).fitted

    assert weighed.output(newer.x)[:, 1].mean() > 0.15
    away = [abs(one.output(newer.x)[:, 1].mean() - newer.y.mean()) for one in (settled, weighed)]
    assert away[0] < (0.02 if kind == "linear" else away[1])
    again = fit(kind, settled.parameters, rows, SCHEMA)
    np.testing.assert_array_equal(again.output(newer.x), settled.output(newer.x))


def test_honest_probabilities_stay_as_they_are() -> None:
    rows = boastful(900)
    fitted = fit("linear", GRIDS["linear"][0], rows, SCHEMA)

    assert settle(fitted, rows, SCHEMA, problem_of(), block=300).fitted is fitted


# --- importance ---


@pytest.mark.parametrize("metric", ["roc_auc", "log_loss"])
def test_what_the_model_uses_is_important_and_noise_is_not(metric: str) -> None:
    importance = feature_importance(train(rows_of(600)), SCHEMA, metric)

    assert list(importance) == ["signal", "noise"]
    assert importance["signal"] > 0.1
    assert abs(importance["noise"]) < 0.05
