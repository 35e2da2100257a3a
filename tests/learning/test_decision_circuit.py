"""Refused challengers, the circuit that they open, and the first model's wait for rows."""

from __future__ import annotations

import dataclasses
from datetime import timedelta
from typing import Any

import pytest

from learning.decision import RetrainEvidence, RetrainState
from tests.factories_decision import (
    DRIFTED,
    HOUR_AGO,
    LOW,
    NONE_YET,
    NOW,
    ask,
    with_evidence,
    with_state,
)

OPEN = with_state(
    refusals_in_a_row=3, refused_triggers=("drift",), last_attempt=NOW - timedelta(hours=5)
)
MUCH_NEW = with_evidence(DRIFTED, n_unused=1_600)
SIX_HOURS_LATER = dataclasses.replace(OPEN, last_attempt=NOW - timedelta(hours=6))


@pytest.mark.parametrize(
    ("evidence", "state", "policy", "go"),
    [
        (DRIFTED, OPEN, {}, False),  # still resting
        (MUCH_NEW, SIX_HOURS_LATER, {}, True),  # a trial after the pause
        (with_evidence(DRIFTED, n_unused=1_599), SIX_HOURS_LATER, {}, False),  # too few rows for it
        (LOW, OPEN, {}, True),  # another kind of trigger
        (with_evidence(LOW, n_unused=200), OPEN, {}, True),  # which needs no more rows than usual
        (with_evidence(LOW, n_unused=199), OPEN, {}, False),
        (LOW, dataclasses.replace(OPEN, attempts_today=6), {}, False),  # but keeps to the budget
        (MUCH_NEW, OPEN, {"circuit_pause": 1_601}, False),
        (MUCH_NEW, OPEN, {"circuit_pause": 1_600}, True),
        (DRIFTED, dataclasses.replace(OPEN, refusals_in_a_row=2), {}, True),  # not open
        (DRIFTED, dataclasses.replace(OPEN, refusals_in_a_row=0), {}, True),  # closed: promoted
        (LOW, dataclasses.replace(OPEN, refused_triggers=()), {}, False),  # kinds not known
    ],
)
def test_the_circuit_opens_rests_and_lets_a_trial_through(
    evidence: RetrainEvidence, state: RetrainState, policy: Any, go: bool
) -> None:
    assert ask(evidence, state, policy).go is go


def test_an_open_circuit_says_how_it_closes_and_a_trial_that_it_is_one() -> None:
    assert ask(MUCH_NEW, OPEN).reason.endswith(
        ", but the circuit is open: 3 challengers refused in a row (drift); the next is tried 6h "
        "after the last attempt, at another kind of trigger, or by hand"
    )
    assert ask(LOW, OPEN).reason == (
        "roc_auc 0.6 < 0.8 (a trial: 3 challengers refused in a row (drift))"
    )


def test_after_three_refusals_the_circuit_is_open_and_says_so() -> None:
    few = with_evidence(DRIFTED, n_unused=500)

    third, second = (ask(few, with_state(refusals_in_a_row=n)).reason for n in (3, 2))

    assert third.endswith("of 1600 needed (circuit open: 3 challengers refused in a row)")
    assert "circuit" not in second


@pytest.mark.parametrize(
    ("n_labelled", "go", "reason"),
    [
        (0, False, "no champion yet, and 0 labelled rows of 500 needed"),
        (499, False, "no champion yet, and 499 labelled rows of 500 needed"),
        (500, True, "no champion yet, and 500 labelled rows"),
    ],
)
def test_the_first_training_waits_for_the_bootstrap_rows_alone(
    n_labelled: int, go: bool, reason: str
) -> None:
    evidence = RetrainEvidence(n_labelled, n_labelled, n_labelled)

    decision = ask(evidence, NONE_YET, {"min_new_rows": 2_000})

    assert (decision.go, decision.trigger, decision.reason) == (go, "bootstrap", reason)


@pytest.mark.parametrize(("refusals", "needed"), [(1, 400), (3, 1_600), (7, 1_600)])
def test_a_refused_first_model_waits_for_ever_more_rows(refusals: int, needed: int) -> None:
    state = RetrainState(False, last_attempt=HOUR_AGO, refusals_in_a_row=refusals)
    few = RetrainEvidence(5_000, 5_000, needed - 1)

    assert ask(with_evidence(few, n_unused=needed), state).go
    assert f"only {needed - 1} new labelled rows of {needed} needed" in ask(few, state).reason
    assert ("circuit open" in ask(few, state).reason) is (refusals >= 3)
