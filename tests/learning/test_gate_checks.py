"""Each check of the gate by itself, as a table of small cases."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from learning.exam import is_exam
from learning.gate import Beside, Check, Contest, Footprint, Side, Verdict, judge
from learning.onnx_export import Parity
from learning.problem import GateRules
from tests.learning.test_gate import contest

EQUAL = Parity(10_000, 1e-7, 1e-4)
BETTER = contest(0, 2.5, 0.5, is_rival_served=True)
N = len(BETTER.y)


def judged(one: Contest, beside: Beside | None = None, look: int = 1, **rules: Any) -> Verdict:
    is_last = rules.pop("is_last", False)
    return judge(one, EQUAL, GateRules.model_validate(rules), beside, look, is_last)


def check(verdict: Verdict, name: str) -> Check | None:
    return next((one for one in verdict.checks if one.name == name), None)


def outcome(verdict: Verdict, name: str) -> str | None:
    found = check(verdict, name)
    return None if found is None else found.outcome


@pytest.mark.parametrize(
    ("challenger", "rival", "n", "rules", "expected"),
    [
        (2.5, 0.5, 300, {}, ("promote", "pass")),
        (1.1, 1.0, 300, {}, ("inconclusive", "unsure")),
        (0.5, 2.5, 300, {}, ("refuse", "fail")),
        (1.0, 1.0, 8_000, {"margin": 0.03}, ("refuse", "fail")),  # surely no better by the margin
        (1.1, 1.0, 300, {"is_last": True}, ("refuse", "unsure")),
        (1.0, 1.0, 8_000, {"accept": "not_worse", "margin": 0.05}, ("promote", "pass")),
        (1.0, 1.0, 300, {"accept": "not_worse"}, ("inconclusive", "unsure")),
        (0.5, 2.5, 300, {"accept": "not_worse"}, ("refuse", "fail")),
    ],
)
def test_the_gain_decides_or_waits(
    challenger: float, rival: float, n: int, rules: dict[str, Any], expected: tuple[str, str]
) -> None:
    verdict = judged(contest(4, challenger, rival, n=n, is_rival_served=True), **rules)

    assert (verdict.outcome, outcome(verdict, "gain")) == expected
    assert verdict.decision.go is (verdict.outcome == "promote")
    assert verdict.decision.evidence["outcome"] == verdict.outcome


def test_a_reason_says_what_the_verdict_is() -> None:
    unsure = contest(4, 1.1, 1.0, is_rival_served=True)

    assert judged(unsure).decision.reason.startswith("inconclusive, judged again on more rows: roc")
    assert judged(unsure, is_last=True).decision.reason.startswith("refused: no proof in the time")
    equal = judged(contest(4, 1, 1, n=8_000), accept="not_worse", margin=0.05)
    assert equal.decision.reason.startswith("not worse than champion 3: roc_auc gain")


def test_later_looks_ask_for_more() -> None:
    first, third = judged(BETTER), judged(BETTER, look=3)

    assert first.confidence == pytest.approx(0.975)
    assert third.confidence == pytest.approx(0.99375)
    assert (third.gain_low or 0) < (first.gain_low or 0)


@pytest.mark.parametrize(("n_positive", "expected"), [(9, "unsure"), (10, "pass")])
def test_the_rarer_class_must_be_there(n_positive: int, expected: str) -> None:
    y = np.zeros(N)
    y[:n_positive] = 1

    assert outcome(judged(replace(BETTER, y=y)), "positives") == expected
    assert outcome(judged(replace(BETTER, y=y, is_first=True)), "positives") is None


def inverted(one: Contest, rows: np.ndarray) -> Contest:
    """The contest whose challenger is upside down on some rows."""
    challenger = one.challenger.copy()
    challenger[rows] = challenger[rows][:, ::-1]
    return replace(one, challenger=challenger)


def test_a_slice_that_got_worse_refuses_and_few_rows_say_nothing() -> None:
    strong = contest(1, 5, 0.5, n=1000, is_rival_served=True)
    rows = np.arange(1000) < 100
    turned = inverted(strong, rows)
    slices = (("plan = pro", rows), ("plan = basic", ~rows))

    verdict = judged(turned, Beside(slices=slices))

    assert outcome(verdict, "gain") == "pass"
    assert outcome(verdict, "slice plan = pro") == "fail"
    assert outcome(verdict, "slice plan = basic") == "pass"
    assert verdict.decision.reason.startswith("refused: where plan = pro: gain -0.")
    assert judged(turned, Beside(slices=slices), slice_rows=101).decision.go
    assert judged(strong, Beside(slices=slices)).decision.go


def test_what_was_forgotten_refuses_unless_the_world_changed() -> None:
    older = contest(2, 0.2, 2.5, n=400, is_rival_served=True)
    newest = contest(3, 3.0, 2.5, n=2000, is_rival_served=True)
    changed = contest(3, 3.0, 0.2, n=2000, is_rival_served=True)

    forgetful = judged(newest, Beside(older=older))
    excused = judged(changed, Beside(older=older))

    assert outcome(forgetful, "gain") == "pass"
    assert outcome(forgetful, "backtest") == "fail"
    assert outcome(excused, "backtest") == "pass"
    backtest = check(excused, "backtest")
    assert backtest is not None
    assert "excused, since champion 3 lost 0." in backtest.text
    assert outcome(judged(newest, Beside(older=newest)), "backtest") == "pass"
    assert outcome(judged(newest, Beside(older=contest(2, 0, 2, n=40))), "backtest") is None


def test_small_steps_down_are_measured_from_the_anchor() -> None:
    even = contest(5, 1.0, 1.0, n=8_000, is_rival_served=True)
    rules: dict[str, Any] = {"accept": "not_worse", "margin": 0.05}
    better = Side("version 1", contest(5, 2.0, 1.0, n=8_000).challenger)
    same = Side("version 1", even.rival)

    assert judged(even, **rules).decision.go
    assert outcome(judged(even, Beside(anchor=better), **rules), "anchor") == "fail"
    assert outcome(judged(even, Beside(anchor=same), **rules), "anchor") == "pass"
    few = contest(5, 1.0, 1.0, n=100, is_rival_served=True)
    assert outcome(judged(few, Beside(anchor=Side("v", few.rival)), **rules), "anchor") == "unsure"


def test_probabilities_that_went_astray_refuse_unless_they_are_better_altogether() -> None:
    rng = np.random.default_rng(6)
    chance = rng.beta(2, 2, 2000)
    y = (rng.random(2000) < chance).astype(float)
    honest = np.column_stack([1 - chance, chance])
    sharp = chance**4 / (chance**4 + (1 - chance) ** 4)
    astray = np.column_stack([1 - sharp, sharp])  # the same order, far too sure
    blind = np.tile([0.5, 0.5], (2000, 1))
    worse = Contest("binary", "roc_auc", y, astray, honest, "champion 3")
    knowing = Contest("binary", "accuracy", y, 0.7 * honest + 0.15, blind, "champion 3")
    strict: dict[str, Any] = {"max_miscalibration": 0.02}

    assert outcome(judged(worse), "calibration") == "fail"
    assert outcome(judged(replace(worse, challenger=honest, rival=astray)), "calibration") == "pass"
    excused = check(judged(knowing, **strict), "calibration")
    assert excused is not None
    assert excused.outcome == "pass"
    assert "the Brier score is better" in excused.text


def test_what_costs_nothing_must_be_beaten_unless_the_champion_does_not() -> None:
    echo = Side("no change", np.column_stack([1 - BETTER.y, BETTER.y]))  # knows everything
    blind = Side("no change", np.full((N, 2), np.nan))
    weaker = Side("no change", contest(0, 0, 0.8).rival)
    strong = replace(BETTER, rival=contest(0, 0, 4).rival)

    excused = check(judged(BETTER, Beside(baselines=(echo,))), "beats no change")
    assert excused is not None
    assert excused.outcome == "pass"
    assert "excused, since champion 3 has -0." in excused.text
    lost = replace(BETTER, challenger=contest(0, 0.1, 0).challenger, rival=strong.rival)
    assert outcome(judged(lost, Beside(baselines=(weaker,))), "beats no change") == "fail"
    first = replace(lost, is_first=True, is_rival_served=False)
    assert outcome(judged(first, Beside(baselines=(weaker,))), "beats no change") == "pass"
    assert outcome(judged(BETTER, Beside(baselines=(blind,))), "beats no change") is None


@pytest.mark.parametrize(
    ("new", "old", "latency", "size"),
    [
        (Footprint(0.2, 9_000_000), Footprint(0.01, 10), "pass", "pass"),  # small enough anyway
        (Footprint(1.5, 90_000_000), Footprint(0.5, 5_000_000), "pass", "pass"),
        (Footprint(1.6, 90_000_000), Footprint(0.5, 4_000_000), "fail", "fail"),
        (Footprint(1.6, 90_000_000), None, None, None),
    ],
)
def test_speed_and_size_are_held_against_the_champions(
    new: Footprint, old: Footprint | None, latency: str | None, size: str | None
) -> None:
    verdict = judged(BETTER, Beside(footprint=new, rival_footprint=old))

    assert (outcome(verdict, "latency"), outcome(verdict, "size")) == (latency, size)


def test_notes_stand_in_the_verdict_and_may_refuse() -> None:
    note = Check("leak x2", "fail", None, None, "x2: predicts the target almost alone")

    verdict = judged(BETTER, Beside(notes=(note,)))

    assert verdict.decision.reason == "refused: x2: predicts the target almost alone"
    assert judged(BETTER, Beside(notes=(replace(note, outcome="pass"),))).decision.go


def test_a_regression_is_judged_by_shares_of_its_error() -> None:
    rng = np.random.default_rng(7)
    y = rng.normal(100, 10, 3000)
    old = (y + rng.normal(0, 5, 3000))[:, None]
    near = (y + rng.normal(0, 4.96, 3000))[:, None]
    good = (y + rng.normal(0, 4, 3000))[:, None]

    def verdict(new: np.ndarray) -> Verdict:
        return judged(Contest("regression", "mae", y, new, old, "champion 3"))

    assert verdict(good).decision.go
    assert not verdict(near).decision.go
    assert check(verdict(good), "calibration") is None


def test_rows_kept_from_training_are_the_same_for_everybody() -> None:
    times = np.arange(20_000).astype("datetime64[m]").astype("datetime64[us]")

    few, more = is_exam(times, 0.05), is_exam(times, 0.2)

    assert few.mean() == pytest.approx(0.05, abs=0.006)
    assert not (few & ~more).any()
    assert (is_exam(times[100:200], 0.05) == few[100:200]).all()
    assert not is_exam(times, 0).any()
    twice = is_exam(np.repeat(times[:50], 2), 0.5)
    assert (twice[::2] == twice[1::2]).all()


def senders(**shares: float) -> tuple[tuple[str, np.ndarray], ...]:
    """Each sender's rows, one after the other."""
    ends = np.cumsum([0.0, *shares.values()]) * N
    place = np.arange(N)
    return tuple(
        (name, (place >= low) & (place < high))
        for name, low, high in zip(shares, ends, ends[1:], strict=False)
    )


def test_no_sender_turns_the_verdict_alone() -> None:
    """The labels of the first half make the challenger; those of the others undo it."""
    half = N // 2
    sides = BETTER.challenger.copy(), BETTER.rival.copy()
    new, old = (np.concatenate([a[:half], b[half:]]) for a, b in (sides, sides[::-1]))
    some = replace(BETTER, challenger=new, rival=old)

    alone = judged(some, Beside(senders=senders(a=0.5, b=0.5)))

    assert outcome(alone, "without a") == "fail"
    assert outcome(alone, "without b") == "pass"
    assert alone.outcome == "refuse"


@pytest.mark.parametrize(
    ("shares", "expected"),
    [
        ({"a": 1.0}, None),  # nobody to hold it against
        ({"a": 0.95, "b": 0.05}, "unsure"),  # too few others to ask
        ({"a": 0.5, "b": 0.5}, "pass"),
        ({"a": 0.05, "b": 0.95}, None),  # too small to turn anything
    ],
)
def test_which_senders_are_asked(shares: dict[str, float], expected: str | None) -> None:
    assert outcome(judged(BETTER, Beside(senders=senders(**shares))), "without a") == expected
