"""What holds of every decision to retrain, whatever it is asked with."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from learning.decision import RetrainEvidence, RetrainState, decide_retrain, rows_needed
from learning.decision_windows import Window
from tests.factories_decision import NOW, PROBLEM, TWICE, ask

COUNTS = st.integers(-10, 20_000)


@given(COUNTS, COUNTS, COUNTS, st.booleans(), st.booleans(), st.integers(0, 9), st.integers(0, 9),
       st.timedeltas(timedelta(-500), timedelta(500)))  # fmt: skip
def test_no_retrain_of_a_champion_breaks_budget_rows_or_cooldown(
    n_labelled: int, n_new: int, n_unused: int, is_drifted: bool, is_low: bool,
    attempts: int, refusals: int, since: timedelta,
) -> None:  # fmt: skip
    looks = {"drift": TWICE, "performance": TWICE}
    evidence = RetrainEvidence(
        n_labelled, n_new, n_unused, is_drifted, "d", is_low, "p", looks=looks
    )
    state = RetrainState(True, NOW - timedelta(days=3), NOW - since, attempts, refusals)

    decision = decide_retrain(evidence, PROBLEM, state, NOW)

    assert decision.reason
    if decision.go:
        assert decision.trigger in ("drift", "performance", "volume", "age")
        assert attempts < 6
        assert n_unused >= rows_needed(PROBLEM, state, decision.trigger)
        assert n_unused >= 200 * min(2**refusals, 2 if decision.trigger == "performance" else 8)
        assert since >= timedelta(hours=1)


SIGNALS = st.dictionaries(
    st.sampled_from(["drift", "performance", "estimate"]),
    st.lists(st.booleans(), max_size=6).map(
        lambda verdicts: tuple(Window(100 * i, one) for i, one in enumerate(verdicts))
    ),
)


@given(st.builds(RetrainEvidence, COUNTS, COUNTS, COUNTS, st.booleans(), st.just("drift_share 0.4"),
                 st.booleans(), st.just("auc 0.6"), st.booleans(), st.booleans(), st.just("e: 0.6"),
                 st.booleans(), SIGNALS),
       st.builds(RetrainState, st.booleans(), st.none() | st.just(NOW), st.none() | st.just(NOW),
                 st.integers(0, 9), st.integers(0, 9),
                 st.sampled_from([(), ("drift",), ("drift", "performance")])),
       st.booleans(), st.none() | st.just("wanted"))  # fmt: skip
def test_a_decision_is_the_same_for_the_same_and_always_a_sentence_with_its_evidence(
    evidence: RetrainEvidence, state: RetrainState, is_spared: bool, manual: str | None
) -> None:
    policy = {"on_harmless_drift": is_spared, "on_estimate": True}

    decision = ask(evidence, state, policy, manual=manual)

    assert decision == ask(evidence, state, policy, manual=manual)
    assert len(decision.reason) > 5
    assert decision.trigger is not None or not decision.go
    assert {"looks", "harm", "rows_needed", "refusals_in_a_row"} <= set(decision.evidence)
    assert decision.go or manual is None
