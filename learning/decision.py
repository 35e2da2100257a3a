"""Retrain now? One answer with its reason, from evidence, policy, state and the time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal

from learning.problem import Problem

Trigger = Literal["bootstrap", "drift", "performance", "volume", "age", "manual"]
REFUSALS_THAT_OPEN_THE_CIRCUIT = 3


@dataclass(frozen=True)
class Decision:
    """A rule's answer: whether to go, why in one sentence, and the numbers it rests on."""

    go: bool
    reason: str
    evidence: dict[str, Any] = field(default_factory=dict)
    trigger: Trigger | None = None


@dataclass(frozen=True)
class RetrainEvidence:
    """What watching found.

    ``n_new`` counts labelled rows newer than the champion's training window, ``n_unused`` those
    that came since the last attempt.
    """

    n_labelled: int
    n_new: int
    n_unused: int
    is_drifted: bool = False
    drift_reason: str = "no drift result"
    is_below_floor: bool = False
    performance_reason: str = "no performance result"


@dataclass(frozen=True)
class RetrainState:
    """What happened before. ``attempts_today`` counts the last 24 hours."""

    has_champion: bool
    champion_clock: datetime | None = None
    last_attempt: datetime | None = None
    attempts_today: int = 0
    refusals_in_a_row: int = 0

    @property
    def is_circuit_open(self) -> bool:
        """Whether so many challengers in a row were refused that the loop slows down."""
        return self.refusals_in_a_row >= REFUSALS_THAT_OPEN_THE_CIRCUIT


def rows_needed(problem: Problem, state: RetrainState) -> int:
    """New labelled rows before another attempt: more with each refusal, up to fourfold.

    A challenger that was refused on these rows would be refused on them again.
    """
    return problem.retrain.min_new_rows * (1 + min(state.refusals_in_a_row, 3))


def decide_retrain(
    evidence: RetrainEvidence,
    problem: Problem,
    state: RetrainState,
    now: datetime,
    manual_reason: str | None = None,
) -> Decision:
    """Whether to train a challenger now; a person's wish overrides every brake."""
    numbers = {**vars(evidence), **vars(state), "rows_needed": rows_needed(problem, state)}
    if manual_reason is not None:
        return Decision(True, f"asked for: {manual_reason}", numbers, "manual")
    if not state.has_champion:
        return _decide_bootstrap(evidence, problem, state, numbers)
    wish = next(_wishes(evidence, problem, state, now), None)
    if wish is None:
        reason = f"nothing asks for it: {evidence.drift_reason}; {evidence.performance_reason}"
        return Decision(False, reason, numbers)
    trigger, why = wish
    brake = next(_brakes(evidence, problem, state, now), None)
    if brake is not None:
        return Decision(False, f"{why}, but {brake}", numbers, trigger)
    return Decision(True, why, numbers, trigger)


def _decide_bootstrap(
    evidence: RetrainEvidence, problem: Problem, state: RetrainState, numbers: dict[str, Any]
) -> Decision:
    needed = problem.windows.bootstrap_rows
    if evidence.n_labelled < needed:
        reason = f"no champion yet, and {evidence.n_labelled} labelled rows of {needed} needed"
        return Decision(False, reason, numbers, "bootstrap")
    more = numbers["rows_needed"]
    if state.last_attempt is not None and evidence.n_unused < more:
        reason = (
            f"no champion yet, and only {evidence.n_unused} new labelled rows of {more} needed "
            f"since the last attempt{_circuit(state)}"
        )
        return Decision(False, reason, numbers, "bootstrap")
    reason = f"no champion yet, and {evidence.n_labelled} labelled rows"
    return Decision(True, reason, numbers, "bootstrap")


def _wishes(
    evidence: RetrainEvidence, problem: Problem, state: RetrainState, now: datetime
) -> Iterator[tuple[Trigger, str]]:
    policy = problem.retrain
    if policy.on_performance and evidence.is_below_floor:
        yield "performance", evidence.performance_reason
    if policy.on_drift and evidence.is_drifted:
        yield "drift", evidence.drift_reason
    if policy.volume_rows is not None and evidence.n_new >= policy.volume_rows:
        yield "volume", f"{evidence.n_new} new labelled rows ≥ {policy.volume_rows}"
    if policy.max_age is not None and state.champion_clock is not None:
        age = now - state.champion_clock
        if policy.max_age.time is not None and age >= policy.max_age.time:
            yield "age", f"the champion is {age.days} days old, the limit is {policy.max_age}"
        elif policy.max_age.rows is not None and evidence.n_new >= policy.max_age.rows:
            yield "age", f"the champion is {evidence.n_new} rows old, limit {policy.max_age}"


def _brakes(
    evidence: RetrainEvidence, problem: Problem, state: RetrainState, now: datetime
) -> Iterator[str]:
    policy = problem.retrain
    needed = rows_needed(problem, state)
    if evidence.n_unused < needed:
        why = f"only {evidence.n_unused} new labelled rows of {needed} needed"
        yield why + _circuit(state)
    if state.last_attempt is not None:
        rest = policy.cooldown
        if rest.time is not None and now - state.last_attempt < rest.time:
            yield f"the last attempt was at {state.last_attempt:%Y-%m-%d %H:%M}, cooldown {rest}"
        elif rest.rows is not None and evidence.n_unused < rest.rows:
            yield f"{evidence.n_unused} rows since the last attempt, cooldown {rest}"
        # A clock that went backwards must not lift the brake for ever.
        if now < state.last_attempt - timedelta(days=1):
            yield f"the clock stands a day before the last attempt ({now:%Y-%m-%d %H:%M})"
    if state.attempts_today >= policy.daily_budget:
        yield f"{state.attempts_today} attempts in 24 hours use up the budget"


def _circuit(state: RetrainState) -> str:
    if not state.is_circuit_open:
        return ""
    return f" (circuit open: {state.refusals_in_a_row} challengers refused in a row)"
