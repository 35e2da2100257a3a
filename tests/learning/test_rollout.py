"""When a stage of a rollout passes, fails or goes on, by hand-made numbers and by properties."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from learning.problem import Problem
from learning.rollout import (
    Latency,
    Look,
    Seen,
    Stage,
    agreement,
    confidence_of,
    is_look_due,
    judge_stage,
    score_shift,
    stages_of,
)
from learning.rollout_rules import RolloutRules

HOUR = timedelta(hours=1)
STAGES: tuple[Stage, ...] = ("shadow", "canary", "probation")
POLICY = {"shadow": "1000 rows", "canary": "6h", "canary_share": 0.1, "probation": "500 rows"}
WORSE = Look("roc_auc", 400, -0.05, -0.09, -0.01, 0.975)
UNSURE = Look("roc_auc", 400, -0.05, -0.12, 0.02, 0.975)


def rules(**changes: Any) -> RolloutRules:
    return RolloutRules.model_validate({**POLICY, **changes})


def seen(n_rows: int = 100, hours: float = 1, **changes: Any) -> Seen:
    return Seen(n_rows, hours * HOUR, **changes)


def test_by_default_a_challenger_is_promoted_at_once_and_then_on_probation() -> None:
    found = Problem(target="y").rollout
    assert stages_of(found) == ()
    assert found.probation is not None
    assert stages_of(rules()) == ("shadow", "canary")
    assert stages_of(rules(shadow=None)) == ("canary",)


def test_the_problem_file_refuses_a_share_of_all_and_a_patience_in_rows() -> None:
    with pytest.raises(ValidationError, match="canary_share"):
        rules(canary_share=1.0)
    with pytest.raises(ValidationError, match="expected a time above zero"):
        rules(patience="500 rows")
    with pytest.raises(ValidationError, match="did you mean 'canary_share'"):
        rules(canary_shares=0.1)


@pytest.mark.parametrize(
    ("stage", "found", "outcome"),
    [
        ("shadow", seen(999, 100), "going_on"),
        ("shadow", seen(1000, 0), "passed"),
        ("canary", seen(500, 5.9), "going_on"),
        ("canary", seen(500, 6), "passed"),
        ("canary", seen(49, 6), "going_on"),  # in time, but too few answers to say anything
        ("probation", seen(499, 100), "going_on"),
        ("probation", seen(500, 0), "passed"),
        ("shadow", seen(10, 24 * 7), "failed"),
        ("canary", seen(10, 24 * 7), "failed"),
        ("probation", seen(10, 24 * 7), "passed"),
    ],
)
def test_a_stage_lasts_as_long_as_the_policy_says(stage: Stage, found: Seen, outcome: str) -> None:
    assert judge_stage(stage, found, rules()).outcome == outcome


def test_the_reason_says_what_was_seen_in_numbers() -> None:
    found = seen(1200, 2, shift=0.21, agreement=0.94, latency=Latency(0.3, 0.2), look=UNSURE)
    assert judge_stage("shadow", found, rules()).reason == (
        "shadow passed: 1200 of 1000 live rows scored; roc_auc gain -0.050 [-0.120, 0.020] "
        "(97.5%) on 400 labelled rows; scores shifted by 0.210; 94% decided alike; one row takes "
        "0.30 ms, before 0.20 ms"
    )
    assert (
        judge_stage("canary", seen(70, 2), rules()).reason == "canary: 70 answers given in 2h of 6h"
    )
    assert judge_stage("canary", seen(3, 24 * 7), rules()).reason == (
        "canary failed: too little was seen in 1w: 3 answers given in 1w of 6h"
    )


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize(
    ("harm", "why"),
    [
        ({"look": WORSE}, "worse beyond chance: roc_auc gain -0.050 [-0.090, -0.010]"),
        ({"trouble": "a server refused it: golden: no"}, "a server refused it: golden: no"),
        ({"latency": Latency(0.9, 0.2)}, "one row takes 0.90 ms, 4.5 times as long"),
        ({"shift": 0.6}, "scores are distributed otherwise by 0.600; allowed 0.5"),
    ],
)
def test_any_harm_fails_a_stage_even_one_that_has_seen_enough(
    stage: Stage, harm: dict[str, Any], why: str
) -> None:
    verdict = judge_stage(stage, seen(10_000, 20, **harm), rules(max_shift=0.5))
    assert verdict.outcome == "failed"
    assert why in verdict.reason
    assert verdict.reason.startswith(f"{stage} failed: ")


def test_what_nobody_notices_or_nobody_asked_for_is_no_harm() -> None:
    for found in (
        seen(1000, latency=Latency(0.09, 0.01)),
        seen(1000, shift=1.0),
        seen(1000, look=UNSURE),
        seen(1000, look=Look("roc_auc", 60, None, None, None, 0.975)),
    ):
        assert judge_stage("shadow", found, rules()).outcome == "passed"


@given(
    stage=st.sampled_from(STAGES),
    n_rows=st.integers(0, 5_000),
    hours=st.floats(0, 400),
    more_rows=st.integers(0, 5_000),
    more_hours=st.floats(0, 400),
)
def test_a_stage_without_harm_never_comes_back_from_its_end(
    stage: Stage, n_rows: int, hours: float, more_rows: int, more_hours: float
) -> None:
    before = judge_stage(stage, seen(n_rows, hours), rules()).outcome
    after = judge_stage(stage, seen(n_rows + more_rows, hours + more_hours), rules()).outcome
    if before == "passed":
        assert after == "passed"
    if before == "failed":
        assert after != "going_on"


@given(
    stage=st.sampled_from(STAGES),
    n_rows=st.integers(0, 5_000),
    hours=st.floats(0, 400),
    gain=st.floats(-1, 1),
    width=st.floats(0, 1),
)
def test_labels_fail_a_stage_only_when_the_whole_interval_is_below_zero(
    stage: Stage, n_rows: int, hours: float, gain: float, width: float
) -> None:
    look = Look("roc_auc", 100, gain, gain - width, gain + width, 0.975)
    with_look = judge_stage(stage, seen(n_rows, hours, look=look), rules()).outcome
    if gain + width < 0:
        assert with_look == "failed"
    else:
        assert with_look == judge_stage(stage, seen(n_rows, hours), rules()).outcome


def test_looks_come_when_the_rows_have_doubled_and_at_the_end() -> None:
    due, n_looks, n_looked = [], 0, 0
    for n_rows in range(0, 1001, 10):
        if is_look_due(n_rows, n_looks, n_looked, n_rows >= 1000, 50):
            due.append(n_rows)
            n_looks, n_looked = n_looks + 1, n_rows
    assert due == [50, 100, 200, 400, 800, 1000]
    assert not is_look_due(800, 5, 800, True, 50)  # nothing new to look at


@given(st.integers(1, 60), st.floats(0.51, 0.999))
def test_all_looks_together_err_no_more_than_allowed(n_looks: int, confidence: float) -> None:
    errors = [1 - confidence_of(look, confidence) for look in range(1, n_looks + 1)]
    assert sum(errors) <= (1 - confidence) * (1 + 1e-9) + 1e-12
    assert errors[0] == pytest.approx((1 - confidence) / 2)


def test_scores_shift_by_the_ks_statistic_or_the_shares_of_classes() -> None:
    low = np.array([[0.9, 0.1], [0.8, 0.2], [0.7, 0.3], [0.6, 0.4]])
    high = np.array([[0.9, 0.1], [0.4, 0.6], [0.3, 0.7], [0.2, 0.8]])
    assert score_shift("binary", high, low) == pytest.approx(0.75)
    assert score_shift("binary", low, low) == 0
    values = np.array([[1.0], [2.0]])
    assert score_shift("regression", values + 10, values) == 1
    three = np.array([[1.0, 0, 0], [0, 1.0, 0]])
    other = np.array([[1.0, 0, 0], [0, 0, 1.0]])
    assert score_shift("multiclass", three, other) == pytest.approx(0.5)


def test_versions_agree_on_rows_that_they_decide_alike() -> None:
    new = np.array([[0.6, 0.4], [0.2, 0.8], [0.9, 0.1], [0.5, 0.5]])
    old = np.array([[0.3, 0.7], [0.2, 0.8], [0.9, 0.1], [0.5, 0.5]])
    assert agreement("binary", new, old, 0.5, 0.5) == 0.75
    assert agreement("binary", new, old, 0.4, 0.5) == 1.0
    assert agreement("multiclass", new, old, 0.5, 0.5) == 0.75
    assert agreement("regression", new, old, 0.5, 0.5) is None
