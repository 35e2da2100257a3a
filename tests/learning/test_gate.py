"""The gate lets a better challenger through and names each check that another one fails."""

import dataclasses
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from learning.gate import Contest, Verdict, judge
from learning.onnx_export import Parity
from learning.problem import GateRules

EQUAL = Parity(10_000, 1e-7, 1e-4)
BROKEN = Parity(10_000, 0.02, 1e-4)
N = 300


def labels(rng: np.random.Generator, n: int = N) -> np.ndarray:
    return (rng.random(n) < 0.4).astype(float)


def scores(rng: np.random.Generator, y: np.ndarray, skill: float) -> np.ndarray:
    """Probabilities [n, 2] that tell the classes apart the better, the larger the skill."""
    positive = 1 / (1 + np.exp(-skill * (y - 0.5) - rng.normal(size=len(y))))
    return np.column_stack([1 - positive, positive])


def contest(seed: int, challenger: float, rival: float, n: int = N, **changes: Any) -> Contest:
    rng = np.random.default_rng(seed)
    y = labels(rng, n)
    sides = scores(rng, y, challenger), scores(rng, y, rival)
    return dataclasses.replace(
        Contest("binary", "roc_auc", y, *sides, rival_name="champion 3"), **changes
    )


def judged(contest: Contest, parity: Parity = EQUAL, **rules: Any) -> Verdict:
    return judge(contest, parity, GateRules.model_validate(rules))


def found_of(verdict: Verdict, name: str) -> Any:
    (found,) = (c["found"] for c in verdict.decision.evidence["checks"] if c["name"] == name)
    return found


def failed(verdict: Verdict) -> list[str]:
    return [check.name for check in verdict.checks if not check.passed]


def test_an_empty_holdout_is_refused_without_a_gain() -> None:
    empty = Contest("binary", "roc_auc", np.array([]), *(np.empty((0, 2)),) * 2, "champion 3")

    verdict = judged(empty)

    assert failed(verdict) == ["rows"]
    assert (verdict.gain, verdict.gain_low, verdict.gain_high) == (None,) * 3
    assert verdict.outcome == "inconclusive"
    assert verdict.decision.reason.endswith("on more rows: 0 judged rows, required ≥ 50")


def test_a_holdout_of_one_class_cannot_show_a_gain() -> None:
    one = dataclasses.replace(contest(0, 3, 0), y=np.zeros(N))

    verdict = judged(one)

    assert failed(verdict) == ["positives", "gain"]
    assert verdict.outcome == "inconclusive"
    assert verdict.gain is None
    assert "roc_auc is undefined on the 300 judged rows: only one" in verdict.decision.reason


def test_the_very_same_model_is_refused() -> None:
    same = contest(0, 2, 2)
    same = dataclasses.replace(same, rival=same.challenger)

    verdict = judged(same)

    assert (verdict.gain, verdict.gain_low, verdict.gain_high) == (0, 0, 0)
    assert failed(verdict) == ["gain"]


def test_an_equally_good_model_is_refused_nineteen_times_in_twenty() -> None:
    passed = [judged(contest(seed, 1, 1)).decision.go for seed in range(60)]

    assert sum(passed) <= 3


def test_a_clearly_better_model_passes_and_the_reason_holds_the_numbers() -> None:
    verdicts = [judged(contest(seed, 2.5, 0.5)) for seed in range(10)]

    assert all(verdict.decision.go for verdict in verdicts)
    best = verdicts[0]
    assert best.gain is not None
    assert best.decision.reason == (
        f"better than champion 3: roc_auc gain over champion 3 {best.gain:+.4f} "
        f"[{best.gain_low:+.4f}, {best.gain_high:+.4f}] on 300 rows (DeLong)"
    )


def test_a_worse_model_is_refused() -> None:
    verdict = judged(contest(0, 0.5, 2.5))

    assert failed(verdict) == ["gain"]
    assert verdict.gain_high is not None
    assert verdict.gain_high < 0


def test_a_better_model_must_gain_more_than_the_least_gain() -> None:
    better = contest(1, 2.5, 0.5)
    low = judged(better).gain_low
    assert low is not None

    assert judged(better, min_gain=low - 1e-9).decision.go
    assert failed(judged(better, min_gain=low)) == ["gain"]


def test_a_lead_on_few_rows_is_not_enough() -> None:
    assert failed(judged(contest(2, 4, 0, n=49))) == ["rows"]
    assert failed(judged(contest(2, 4, 0, n=50))) == []


def test_a_graph_that_differs_is_refused_however_good() -> None:
    verdict = judged(contest(0, 3, 0), BROKEN)

    assert failed(verdict) == ["parity"]
    assert "differs by 2.0e-02 at most on 10000 rows, required ≤ 0.0001" in verdict.decision.reason


@pytest.mark.parametrize("difference", [math.inf, math.nan])
def test_a_graph_that_gives_no_numbers_is_refused_with_a_null_for_json(difference: float) -> None:
    verdict = judged(contest(0, 3, 0), Parity(10, difference, 1e-4))

    assert failed(verdict) == ["parity"]
    assert found_of(verdict, "parity") is None


def test_each_floor_is_a_check_of_its_own_with_its_direction() -> None:
    better = contest(0, 3, 0)
    verdict = judged(better, floors={"recall": 0.1, "log_loss": 0.01, "accuracy": 0.999})

    assert failed(verdict) == ["floor log_loss", "floor accuracy"]
    log_loss = next(check for check in verdict.checks if check.name == "floor log_loss")
    assert log_loss.text == f"log_loss {log_loss.found:.3f}, required ≤ 0.01"
    assert "; accuracy 0." in verdict.decision.reason


SERVED = contest(0, 2, 0, is_rival_served=True)  # roc_auc 0.92 against 0.5


@pytest.mark.parametrize(
    ("sides", "floors", "is_held"),
    [
        (SERVED, {"roc_auc": 0.99}, True),
        (SERVED, {"log_loss": 0.01}, True),
        (replace(SERVED, is_rival_served=False), {"roc_auc": 0.99}, False),
        (contest(0, 2, 2.2, is_rival_served=True), {"roc_auc": 0.99}, False),
        (contest(0, 2, 4, is_rival_served=True), {"roc_auc": 0.95}, False),
    ],
)
def test_a_floor_does_not_keep_a_champion_that_is_further_below_it(
    sides: Contest, floors: dict[str, float], is_held: bool
) -> None:
    verdict = judged(sides, floors=floors)

    (floor,) = (check for check in verdict.checks if check.name.startswith("floor"))
    assert floor.passed is is_held
    assert ("as long as champion 3 is no better" in floor.text) is is_held or not is_held


def test_a_floor_says_what_the_served_champion_has() -> None:
    checks = judged(SERVED, floors={"roc_auc": 0.99}).checks
    (floor,) = (check for check in checks if check.name == "floor roc_auc")

    assert floor.required == pytest.approx((floor.found or 0) - SERVED.pair.gain())
    assert floor.text == (
        f"roc_auc {floor.found:.3f}, required ≥ 0.99, or {floor.required:.3f} as long as "
        "champion 3 is no better"
    )


def test_a_floor_of_an_unknown_metric_lists_the_known_ones() -> None:
    verdict = judged(contest(0, 3, 0), floors={"recal": 0.1})

    assert failed(verdict) == ["floor recal"]
    assert (
        "recal is no metric of this task; expected one of roc_auc, pr_auc, acc"
        in verdict.decision.reason
    )


def test_an_undefined_metric_does_not_reach_its_floor() -> None:
    silent = contest(0, 3, 0, threshold=1.0)  # nobody is called positive

    verdict = judged(silent, floors={"precision": 0.1})

    assert failed(verdict) == ["floor precision"]
    assert found_of(verdict, "floor precision") is None


def test_all_failing_checks_are_named_at_once() -> None:
    verdict = judged(contest(0, 0, 3, n=30), BROKEN, floors={"roc_auc": 0.99})

    assert failed(verdict) == ["rows", "parity", "gain", "floor roc_auc"]
    assert verdict.outcome == "refuse"
    assert verdict.decision.reason.count(";") == 2  # too few rows are no reason to refuse


def test_each_side_is_judged_with_its_own_threshold() -> None:
    y = np.tile([0.0, 1.0], 50)
    low = np.column_stack([1 - (y * 0.1 + 0.2), y * 0.1 + 0.2])  # right from 0.25 upwards
    sides = Contest("binary", "accuracy", y, low, low, "champion 3", 0.25, 0.5)

    assert sides.pair.gain() == 0.5


def test_a_first_model_need_not_be_better_than_the_dummy_beyond_chance() -> None:
    close = contest(0, 1.3, 1, rival_name="the dummy")
    assert failed(judged(close)) == ["gain"]

    first = judged(dataclasses.replace(close, is_first=True), min_gain=0.5)

    assert first.decision.go
    assert "the dummy: roc_auc gain over the dummy +0.0" in first.decision.reason
    assert first.decision.reason.endswith("on 300 rows (DeLong), not beyond chance")


def test_a_first_model_that_is_no_better_than_the_dummy_is_refused() -> None:
    worse = contest(0, 0.5, 2.5, is_first=True)
    same = dataclasses.replace(worse, rival=worse.challenger)

    assert failed(judged(worse)) == failed(judged(same)) == ["gain"]


def test_a_first_model_is_held_to_all_other_checks() -> None:
    verdict = judged(contest(0, 3, 0, n=30, is_first=True), BROKEN, floors={"roc_auc": 1})

    assert failed(verdict) == ["rows", "parity", "floor roc_auc"]


@pytest.mark.parametrize("task", ["multiclass", "regression"])
def test_a_first_model_must_beat_the_dummy_in_other_tasks_too(task: Any) -> None:
    rng = np.random.default_rng(5)
    if task == "regression":
        y = rng.normal(size=N)
        dummy = np.full((N, 1), np.median(y))
        good, metric = (0.5 * y)[:, None], "mae"
    else:
        y = rng.integers(0, 3, N).astype(float)
        dummy = np.tile([0.4, 0.3, 0.3], (N, 1))
        good, metric = (
            np.eye(3)[y.astype(int)] * 0.5 + rng.dirichlet(np.ones(3), N) * 0.5,
            "accuracy",
        )

    assert judged(Contest(task, metric, y, good, dummy, "the dummy")).decision.go
    refused = judged(Contest(task, metric, y, dummy, dummy, "the dummy"))
    assert "gain over the dummy +0.0000 [+0.0000, +0.0000]" in refused.decision.reason


def test_a_first_model_needs_no_proof_beyond_chance_but_must_be_better() -> None:
    rng = np.random.default_rng(6)
    y = (rng.random(80) < 0.5).astype(float)
    dummy = np.tile([0.5, 0.5], (80, 1))
    score = 0.5 + 0.01 * (y - 0.5) + 0.1 * rng.standard_normal(80)
    weak = np.column_stack([1 - score, score])
    contest = Contest("binary", "roc_auc", y, weak, dummy, "the dummy", is_first=True)
    verdict = judged(contest)
    assert verdict.gain is not None
    assert verdict.gain_low is not None
    assert verdict.gain_low <= 0 < verdict.gain
    assert verdict.decision.go
    assert "not beyond chance" in verdict.decision.reason
    assert not judged(replace(contest, is_first=False)).decision.go
    worse = replace(contest, challenger=weak[:, ::-1])
    assert not judged(worse).decision.go
