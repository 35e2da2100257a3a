"""The parts of a replay, by numbers worked out by hand."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from learning.metrics import metric_function
from learning.performance import glance_at_performance, measure_performance
from learning.problem import PerformanceRules
from learning.replay_advice import advise
from learning.replay_curve import Point, over_models, with_interval
from learning.replay_drift import find_detections
from learning.replay_plot import round_steps
from learning.replay_result import Answers, PolicyResult, join_segments
from learning.replay_river import learn_along
from learning.replay_stream import arrivals, make_stream, segments, usual_batch
from learning.replay_yardsticks import majority, no_change
from learning.rows import Floats, Rows, Schema
from learning.spans import Span
from tests.factories import small_problem
from tests.learning.replays import small_history, small_stream

MINUTES = np.datetime64("2026-01-01", "us") + np.array([0, 1, 2, 2, 10]) * np.timedelta64(1, "m")


def tiny(y: list[float], delay: int = 0, classes: tuple[str, ...] = ("no", "yes")) -> object:
    times = np.datetime64("2026-01-01", "us") + np.arange(len(y)) * np.timedelta64(1, "m")
    rows = Rows(np.zeros((len(y), 1), dtype=np.float32), np.array(y), times)
    task = "binary" if classes else "regression"
    schema = Schema("y", task, small_problem().features[:1], classes)  # type: ignore[arg-type]
    return make_stream(rows, schema, Span.parse(delay), 2)


@pytest.mark.parametrize(
    ("delay", "known"),
    [
        (0, [1, 2, 3, 4, 5]),  # as soon as the row itself has happened
        (2, [3, 4, 5, 6, 7]),
        ("0m", [1, 2, 3, 4, 5]),
        ("1m", [2, 3, 5, 5, 6]),  # the label of minute 2 is seen at the next row, minute 10
        ("3m", [5, 5, 5, 5, 6]),
    ],
)
def test_a_label_arrives_when_its_delay_is_over(delay: object, known: list[int]) -> None:
    assert arrivals(MINUTES, Span.parse(delay)).tolist() == known


def test_no_change_says_the_last_label_that_had_arrived() -> None:
    stream = tiny([0, 1, 1, math.nan, 0, 1], delay=1)
    said = no_change(stream)  # type: ignore[arg-type]
    # Row 4 could know the labels of rows 0 to 2, row 5 those to row 3, which has none.
    assert said[:, 1].tolist()[2:] == [0.0, 1.0, 1.0, 1.0]
    assert np.isnan(said[:2]).all()


def test_the_majority_is_counted_at_each_turn() -> None:
    said = majority(tiny([1, 1, 0, 0, 0, 0, 1, 1]))  # type: ignore[arg-type]
    assert np.isnan(said[:2]).all()
    # Ties go to the first class: two of each are known at row 4.
    assert said[2:, 1].tolist() == [1, 1, 0, 0, 0, 0]
    values = majority(tiny([1.0, 3.0, 8.0, 9.0], classes=()))  # type: ignore[arg-type]
    assert values[2:, 0].tolist() == [2.0, 2.0]


def test_batches_are_small_but_a_thousand_at_most() -> None:
    assert usual_batch(1_600, 50) == 40
    assert usual_batch(45_312, 100) == 100
    assert usual_batch(1_000_000, 100) == 1_000
    assert usual_batch(300, 50) == 20


def test_segments_cover_the_stream_and_count_drift_from_their_start() -> None:
    parts = segments(small_stream(), 2)
    assert [len(part) for part in parts] == [300, 300]
    assert [part.drift_rows for part in parts] == [(), ()]  # row 300 begins a segment
    assert segments(small_stream(), 3)[1].drift_rows == (300 - 200,)


def test_alarms_are_held_against_the_drift_that_is_known() -> None:
    stream = replace(small_stream(), drift_rows=(200, 400))
    problem = small_problem(performance={"window_rows": 100, "max_drop": 0.05})

    def score(first: int, end: int) -> float:
        """0.9, and 0.5 over anything that touches rows 200 to 250 or 400 on."""
        return 0.5 if (first < 250 and end > 200) or end > 400 else 0.9

    found = find_detections(stream, [100, 250, 350], score, problem)
    assert found is not None
    assert found.false_alarms == 1
    first, second = found.changes
    assert (first.row, first.delay_rows, first.recovery_rows) == (200, 50, 150)
    assert (second.row, second.delay_rows, second.recovery_rows) == (400, None, None)
    calm = find_detections(replace(stream, drift_rows=()), [100, 250], score, problem)
    assert calm is not None
    assert (calm.false_alarms, calm.changes) == (2, ())
    assert find_detections(replace(stream, drift_rows=None), [100], score, problem) is None


def test_segments_are_joined_at_their_places() -> None:
    part = Answers("auto", np.zeros((3, 2)), np.full(3, 0.5), 1.5, True)
    whole = join_segments([part, part])
    assert len(whole.output) == len(whole.thresholds) == 6
    assert whole.seconds == 3.0


def test_intervals_hold_their_value() -> None:
    chance = np.random.default_rng(3)
    y = (chance.random(400) < 0.4).astype(float)
    p = np.clip(0.4 * y + 0.6 * chance.random(400), 0, 1)
    output = np.column_stack([1 - p, p])
    for metric in ("roc_auc", "accuracy", "log_loss"):
        value, low, high = with_interval("binary", metric, y, output)
        assert low < value < high
    errors = np.array([1.0, 2.0, 3.0])
    value, low, high = with_interval("regression", "mae", np.zeros(3), errors.reshape(-1, 1))
    reach = 1.959963984540054 * 1.0 / math.sqrt(3)
    assert (value, low, high) == pytest.approx((2.0, 2.0 - reach, 2.0 + reach))


@pytest.mark.parametrize("seed", range(4))
def test_a_glance_and_a_long_look_come_to_one_verdict(seed: int) -> None:
    chance = np.random.default_rng(seed)
    y = (chance.random(150) < 0.5).astype(float)
    p = np.clip(0.5 + (y - 0.5) * chance.uniform(-0.5, 1.0) + chance.normal(0, 0.3, 150), 0, 1)
    output, rules = np.column_stack([1 - p, p]), PerformanceRules(min_rows=100)
    for holdout in (0.55, 0.7, 0.95, None):
        long = measure_performance("binary", y, output, 0.5, rules, holdout)
        short = glance_at_performance("binary", y, output, 0.5, rules, holdout)
        assert (short.is_below_floor, short.value, short.floor) == (
            (long.is_below_floor, long.value, long.floor)
        )
        if short.is_below_floor:
            assert (short.low, short.high, short.reason) == (long.low, long.high, long.reason)


def test_a_glance_at_too_few_labels_says_so() -> None:
    few = glance_at_performance("binary", np.ones(9), np.ones((9, 2)), 0.5, PerformanceRules(), 0.9)
    assert (few.value, few.reason) == (None, "roc_auc not measurable: 9 labels are fewer than 100")


def result(
    name: str, values: list[float], retrains: int, is_policy: bool = True, cost: float | None = None
) -> PolicyResult:
    points = tuple(Point(n, n + 1, value, None, None) for n, value in enumerate(values))
    mean = float(np.mean(values))
    return PolicyResult(
        name, is_policy, mean, 100, {"accuracy": mean}, retrains, 0, 0, 1.0, 100.0, 0.9 - mean,
        cost, (), None, points,
    )  # fmt: skip


def test_of_policies_that_are_as_good_the_one_that_trains_least_is_recommended() -> None:
    best = result("always", [0.9, 0.92, 0.88, 0.9, 0.91, 0.89], 40)
    near = result("auto", [0.91, 0.90, 0.89, 0.91, 0.89, 0.89], 5)
    worse = result("never", [0.8, 0.81, 0.79, 0.8, 0.8, 0.79], 0)
    found = advise([best, near, worse], small_problem(), "accuracy")
    assert found.policy == "auto"
    assert found.settings == {}
    assert found.sentence == (
        "Use auto: accuracy 0.8983 with 5 retrains, not worse beyond chance than always "
        "(0.9000 with 40 retrains)."
    )
    alone = advise([best, worse], small_problem(), "accuracy")
    assert alone.policy == "always"
    assert alone.settings["on_drift"] is False
    assert alone.settings["min_new_rows" if "min_new_rows" in alone.settings else "volume_rows"]


def test_a_price_on_trainings_counts_among_policies_that_are_as_good() -> None:
    best = result("always", [0.9, 0.92, 0.88, 0.9, 0.91, 0.89], 40, cost=500.0)
    near = result("drift", [0.91, 0.90, 0.89, 0.91, 0.89, 0.89], 5, cost=700.0)
    priced = small_problem(costs={"retrain": 1.0})
    assert advise([best, near], priced, "accuracy").policy == "always"
    assert advise([best, near], small_problem(), "accuracy").policy == "drift"


def test_what_costs_nothing_and_is_better_is_told() -> None:
    best = result("auto", [0.8] * 6, 3)
    trivial = result("no_change", [0.85] * 6, 0, is_policy=False)
    sentence = advise([best, trivial], small_problem(), "accuracy").sentence
    assert "Saying the last known label again beats it: accuracy 0.8500 against 0.8000" in sentence


@pytest.mark.parametrize("name", ["river:arf", "river:hat"])
def test_a_stream_learner_learns_labels_only_when_they_arrive(name: str) -> None:
    rows = small_history().part(slice(100, 500))
    other = replace(rows, y=np.where(np.arange(400) >= 200, 1 - rows.y, rows.y))
    one, two = (
        np.array(list(learn_along(small_stream(50, each), name, 300, 1))) for each in (rows, other)
    )
    assert one.shape == (300, 2)
    np.testing.assert_allclose(one.sum(axis=1), 1.0)
    np.testing.assert_array_equal(one[:251], two[:251])
    assert not np.array_equal(one[251:], two[251:])


@pytest.mark.parametrize(
    ("low", "high", "steps"),
    [
        (0.362, 0.979, [0.4, 0.6, 0.8]),
        (0.0, 1.0, [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (-3.0, 46.0, [0.0, 10.0, 20.0, 30.0, 40.0]),
        (0.9012, 0.9034, [0.9015, 0.902, 0.9025, 0.903]),
    ],
)
def test_lines_of_a_plot_stand_at_round_numbers(
    low: float, high: float, steps: list[float]
) -> None:
    assert round_steps(low, high) == pytest.approx(steps)


def two_models(n: int) -> tuple[Floats, Floats]:
    """Labels and probabilities: both models rank without a fault, the second on a higher scale."""
    y = np.tile([0.0, 1.0], n)
    score = np.tile([0.1, 0.4], n)
    score[n:] += 0.5
    return y, np.column_stack([1 - score, score])


def test_another_model_with_another_scale_ranks_no_worse() -> None:
    y, output = two_models(200)
    assert roc_auc_score(y, output[:, 1]) == 0.75  # ranked together
    assert over_models("binary", "roc_auc", y, output) == 1.0
    assert over_models("binary", "pr_auc", y, output) == 1.0


def test_a_metric_that_takes_each_row_by_itself_takes_them_all_together() -> None:
    y, output = two_models(200)
    together = metric_function("binary", "log_loss")(y, output)
    assert over_models("binary", "log_loss", y, output) == together


def test_stretches_of_one_class_say_nothing_and_the_others_weigh_by_their_rows() -> None:
    y, output = two_models(300)  # three stretches of 200 rows
    y[:200] = 0.0
    assert over_models("binary", "roc_auc", y, output) == pytest.approx((0.75 + 1) / 2)
    assert math.isnan(over_models("binary", "roc_auc", np.zeros(600), output))
