"""Every trigger, every brake, a person's wish, and clocks that run backwards."""

from __future__ import annotations

import dataclasses
from datetime import timedelta
from typing import Any

import pytest

from learning.decision import RetrainEvidence, RetrainState, rows_needed
from learning.decision_windows import Window
from tests.factories_decision import (
    CALM,
    DRIFTED,
    ESTIMATED,
    HOUR_AGO,
    LOW,
    NONE_YET,
    NOW,
    PROBLEM,
    STATE,
    TWICE,
    ask,
    with_evidence,
    with_state,
)


def test_without_a_wish_nothing_happens_and_both_results_are_told() -> None:
    decision = ask(CALM)

    assert (decision.go, decision.trigger) == (False, None)
    assert decision.reason == "nothing asks for it: drift_share 0.00; roc_auc 0.900"


MANY = with_evidence(CALM, n_new=10_000)
OLD = with_state(champion_clock=NOW - timedelta(days=30))


@pytest.mark.parametrize(
    ("evidence", "state", "policy", "trigger", "reason"),
    [
        (DRIFTED, STATE, {}, "drift", "drift_share 0.42 > 0.10, harm unknown: roc_auc 0.900"),
        (ESTIMATED, STATE, {"on_estimate": True}, "estimate", "roc_auc estimated at 0.6 < 0.8"),
        (LOW, STATE, {}, "performance", "roc_auc 0.6 < 0.8"),
        (MANY, STATE, {}, "volume", "10000 new labelled rows ≥ 10000"),
        (CALM, OLD, {}, "age", "the champion is 30 days old, the limit is 30d"),
        (CALM, STATE, {"max_age": 1_000}, "age", "the champion is 1000 rows old, limit 1000 rows"),
    ],
)
def test_each_trigger_goes_with_its_reason(
    evidence: RetrainEvidence, state: RetrainState, policy: Any, trigger: str, reason: str
) -> None:
    assert ask(evidence, state, policy) == dataclasses.replace(
        ask(evidence, state, policy), go=True, trigger=trigger, reason=reason
    )


@pytest.mark.parametrize(
    ("evidence", "state", "policy"),
    [
        (DRIFTED, STATE, {"on_drift": False}),
        (LOW, STATE, {"on_performance": False}),
        (ESTIMATED, STATE, {}),
        (MANY, STATE, {"volume_rows": None}),
        (with_evidence(CALM, n_new=9_999), STATE, {}),
        (CALM, OLD, {"max_age": None}),
        (CALM, with_state(champion_clock=NOW - timedelta(days=30, seconds=-1)), {}),
        (CALM, STATE, {"max_age": 1_001}),
        (CALM, with_state(champion_clock=NOW + timedelta(days=99)), {}),
    ],
)
def test_a_trigger_that_is_off_or_just_short_asks_for_nothing(
    evidence: RetrainEvidence, state: RetrainState, policy: Any
) -> None:
    assert ask(evidence, state, policy).trigger is None


def test_low_performance_comes_before_drift_as_the_reason() -> None:
    both = with_evidence(DRIFTED, is_below_floor=True, looks={**DRIFTED.looks, **LOW.looks})

    assert ask(both).trigger == "performance"
    assert ask(both, policy={"on_performance": False}).trigger == "drift"


@pytest.mark.parametrize(
    ("evidence", "state", "policy", "brake"),
    [
        (with_evidence(DRIFTED, n_unused=199), STATE, {}, "only 199 new labelled rows of 200"),
        (DRIFTED, with_state(last_attempt=HOUR_AGO + timedelta(seconds=1)), {}, "cooldown 1h"),
        (DRIFTED, STATE, {"cooldown": 1_001}, "1000 rows since the last attempt, cooldown 1001"),
        (DRIFTED, with_state(attempts_today=6), {}, "6 attempts in 24 hours use up the budget"),
        (DRIFTED, with_state(attempts_today=1), {"daily_budget": 1}, "1 attempts in 24 hours"),
        (with_evidence(DRIFTED, n_unused=-50), STATE, {}, "only -50 new labelled rows of 200"),
    ],
)
def test_each_brake_holds_and_both_the_wish_and_the_brake_are_told(
    evidence: RetrainEvidence, state: RetrainState, policy: Any, brake: str
) -> None:
    decision = ask(evidence, state, policy)

    assert (decision.go, decision.trigger) == (False, "drift")
    assert decision.reason.startswith("drift_share 0.42 > 0.10, harm unknown: roc_auc 0.900, but ")
    assert brake in decision.reason


@pytest.mark.parametrize(
    ("evidence", "state", "policy"),
    [
        (with_evidence(DRIFTED, n_unused=200), STATE, {}),
        (DRIFTED, with_state(last_attempt=HOUR_AGO), {}),
        (DRIFTED, STATE, {"cooldown": 1_000}),
        (DRIFTED, with_state(attempts_today=5), {}),
        (DRIFTED, with_state(last_attempt=None), {}),
        (DRIFTED, with_state(last_attempt=NOW), {"cooldown": "0s"}),
    ],
)
def test_each_brake_lets_go_at_its_limit(
    evidence: RetrainEvidence, state: RetrainState, policy: Any
) -> None:
    assert ask(evidence, state, policy).go


@pytest.mark.parametrize(
    ("refusals", "needed"), [(0, 200), (1, 400), (2, 800), (3, 1_600), (9, 1_600)]
)
def test_each_refusal_asks_for_twice_the_rows_up_to_eightfold(refusals: int, needed: int) -> None:
    state = with_state(refusals_in_a_row=refusals)

    assert rows_needed(PROBLEM, state) == needed
    assert ask(with_evidence(DRIFTED, n_unused=needed), state).go
    assert not ask(with_evidence(DRIFTED, n_unused=needed - 1), state).go


LEARNT = {"n_labelled": 9_000, "n_trained": 8_000}


@pytest.mark.parametrize(
    ("evidence", "refusals", "needed"),
    [
        (with_evidence(CALM, n_new=5_000, **LEARNT), 0, 4_000),  # half as many as it learnt from
        (with_evidence(CALM, n_new=9_000, **LEARNT), 1, 8_000),
        (with_evidence(DRIFTED, is_measured=True, **LEARNT), 0, 2_000),  # a quarter: without harm
        (with_evidence(DRIFTED, is_measured=True, **LEARNT), 1, 4_000),
        (with_evidence(DRIFTED, **LEARNT), 0, 1_000),  # an eighth: harm unknown
        (with_evidence(LOW, **LEARNT), 0, 1_000),  # harm found
        (with_evidence(LOW, **LEARNT), 2, 1_000),  # which does not wait for many times that
        (with_evidence(LOW, n_trained=300), 0, 200),
        (with_evidence(LOW, n_trained=300), 1, 400),
        (with_evidence(LOW, n_trained=300), 3, 400),  # nor for many refusals
    ],
)
def test_the_more_a_champion_learnt_from_the_more_rows_it_takes_to_better_it(
    evidence: RetrainEvidence, refusals: int, needed: int
) -> None:
    state = with_state(refusals_in_a_row=refusals)

    assert ask(with_evidence(evidence, n_unused=needed), state).go
    assert f"of {needed} needed" in ask(with_evidence(evidence, n_unused=needed - 1), state).reason
    assert ask(with_evidence(evidence, n_unused=needed), state).evidence["rows_needed"] == needed


def test_half_as_many_new_rows_as_it_learnt_from_are_enough_by_themselves() -> None:
    few, enough = (with_evidence(CALM, n_new=n, n_trained=2_000) for n in (999, 1_000))

    assert ask(few).trigger is None
    assert ask(enough).reason == (
        "1000 new labelled rows ≥ 50% of the 2000 that the champion learnt from"
    )
    assert ask(enough, policy={"growth": None}).trigger is None
    assert ask(enough, policy={"growth": 0.501}).trigger is None
    assert ask(enough, policy={"volume_rows": None}).trigger is None


def test_a_wish_that_is_held_back_does_not_keep_another_from_its_turn() -> None:
    both = with_evidence(DRIFTED, is_measured=True, n_unused=1_000, **LEARNT)

    assert ask(both).go is False
    assert (ask(both, OLD).go, ask(both, OLD).trigger) == (True, "age")


@pytest.mark.parametrize(
    ("evidence", "waiting", "go"),
    [
        (LOW, "age", True),
        (LOW, "drift", True),
        (LOW, "performance", False),
        (LOW, "manual", True),  # what a person wished was trained before the harm was measured
        (DRIFTED, "age", True),
        (DRIFTED, "performance", False),
        (DRIFTED, "manual", False),
    ],
)
def test_a_waiting_challenger_is_replaced_for_a_stronger_reason_only(
    evidence: RetrainEvidence, waiting: str, go: bool
) -> None:
    decision = ask(evidence, with_state(waiting_version=7, waiting_trigger=waiting))
    assert decision.go is go
    assert go or decision.reason.endswith("but version 7 waits for enough rows to be judged")


HARMLESS = with_evidence(DRIFTED, is_measured=True)
HARMFUL = with_evidence(DRIFTED, is_below_floor=True, is_measured=True)
DREADED = with_evidence(DRIFTED, is_estimated_below=True, is_measured=True)


@pytest.mark.parametrize(
    ("evidence", "harm", "words", "go"),
    [
        (HARMLESS, "none", "without harm so far: roc_auc 0.900", False),
        (HARMFUL, "found", "with harm", True),
        (DREADED, "found", "with harm", True),
        (DRIFTED, "unknown", "harm unknown: roc_auc 0.900", True),
    ],
)
def test_drift_without_harm_is_told_apart_and_may_be_left_alone(
    evidence: RetrainEvidence, harm: str, words: str, go: bool
) -> None:
    anyway, spared = ask(evidence), ask(evidence, policy={"on_harmless_drift": False})

    assert (anyway.go, spared.go, anyway.evidence["harm"]) == (True, go, harm)
    assert anyway.reason == f"drift_share 0.42 > 0.10, {words}"
    assert go or spared.reason.endswith("retrains nothing here (on_harmless_drift)")


def test_a_violation_that_is_not_persistent_waits_and_says_what_is_missing() -> None:
    once = with_evidence(LOW, looks={"performance": (Window(0, False), Window(100, True))})

    decision = ask(once)

    assert (decision.go, decision.trigger) == (False, "performance")
    assert decision.reason == (
        "roc_auc 0.6 < 0.8, but in 1 of the last 2 windows; 2 of 5 and the newest are needed"
    )
    assert ask(once, policy={"violations": 1}).go


def test_a_wish_that_waits_does_not_keep_another_from_its_turn() -> None:
    once = with_evidence(LOW, looks={"performance": TWICE[:1]}, n_new=10_000)

    assert (ask(once).go, ask(once).trigger) == (True, "volume")


def test_the_windows_stand_in_the_evidence_as_json_holds_them() -> None:
    assert ask(LOW).evidence["looks"] == {"performance": [[0, 1], [100, 1]]}


@pytest.mark.parametrize("back", [timedelta(hours=1), timedelta(days=2), timedelta(days=400)])
@pytest.mark.parametrize("cooldown", ["1h", "0 rows"])
def test_a_clock_that_goes_back_does_not_lift_the_brakes(back: timedelta, cooldown: str) -> None:
    state = with_state(last_attempt=NOW + back)

    decision = ask(DRIFTED, state, {"cooldown": cooldown})

    is_small_step_without_cooldown = cooldown == "0 rows" and back < timedelta(days=1)
    assert decision.go is is_small_step_without_cooldown
    if not decision.go and cooldown == "0 rows":
        assert "the clock stands a day before the last attempt" in decision.reason


def test_a_clock_that_went_back_can_be_overridden_by_hand() -> None:
    assert ask(CALM, with_state(last_attempt=NOW + timedelta(days=400)), manual="clock mended").go


@pytest.mark.parametrize("state", [NONE_YET, with_state(attempts_today=99, refusals_in_a_row=9)])
def test_a_wish_by_hand_overrides_every_brake(state: RetrainState) -> None:
    nothing = RetrainEvidence(n_labelled=0, n_new=0, n_unused=0)

    decision = ask(nothing, state, manual="new prices")

    assert (decision.go, decision.trigger) == (True, "manual")
    assert decision.reason == "asked for: new prices"


def test_the_evidence_of_a_decision_holds_all_that_it_rests_on() -> None:
    evidence = ask(DRIFTED).evidence

    assert evidence["n_new"] == 1_000
    assert evidence["attempts_today"] == 0
    assert evidence["rows_needed"] == 200
    assert evidence["last_attempt"] == STATE.last_attempt
