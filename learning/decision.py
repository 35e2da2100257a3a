"""Retrain now? One answer with its reason, from evidence, policy, state and the time."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal

from learning.decision_windows import Looks, SignalName, not_yet, write_looks
from learning.problem import Problem, RetrainPolicy
from learning.spans import Span

Trigger = Literal["bootstrap", "performance", "estimate", "drift", "volume", "age", "manual"]
Harm = Literal["found", "none", "unknown"]
REFUSALS_THAT_OPEN_THE_CIRCUIT = 3
MOST_DOUBLINGS, MOST_DOUBLINGS_AT_HARM = 3, 1
HARM = ("performance", "estimate")
# The weakest first: a stronger one trains anew though a challenger waits for its verdict.
STRENGTH = ("age", "volume", "drift", "estimate", "performance", "manual", "bootstrap")


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
    that came since the last attempt, ``n_trained`` those that the champion learnt from (0: not
    known). ``is_measured`` and ``is_estimated`` say whether there was
    enough to give performance, or its estimate, a number. ``looks`` holds the newest windows of
    each signal, this look included.
    """

    n_labelled: int
    n_new: int
    n_unused: int
    is_drifted: bool = False
    drift_reason: str = "no drift result"
    is_below_floor: bool = False
    performance_reason: str = "no performance result"
    is_measured: bool = False
    is_estimated_below: bool = False
    estimate_reason: str = "no estimate"
    is_estimated: bool = False
    looks: Looks = field(default_factory=dict)
    n_trained: int = 0

    @property
    def harm(self) -> Harm:
        """Whether the answers got worse, by their labels or by the estimate without labels."""
        if self.is_below_floor or self.is_estimated_below:
            return "found"
        return "none" if self.is_measured else "unknown"

    @property
    def is_calm(self) -> bool:
        """Whether nothing is wrong: neither drift nor harm."""
        return not self.is_drifted and self.harm != "found"


@dataclass(frozen=True)
class RetrainState:
    """What happened before. ``attempts_today`` counts the last 24 hours.

    ``refused_triggers`` are those of the refused challengers in a row. ``waiting_version`` is a
    challenger that is to be judged again, trained for ``waiting_trigger``. ``rollout`` says which
    version is being rolled out, if one is.
    """

    has_champion: bool
    champion_clock: datetime | None = None
    last_attempt: datetime | None = None
    attempts_today: int = 0
    refusals_in_a_row: int = 0
    refused_triggers: tuple[str, ...] = ()
    waiting_version: int | None = None
    waiting_trigger: str | None = None
    rollout: str | None = None

    @property
    def is_circuit_open(self) -> bool:
        """Whether so many challengers in a row were refused that the loop slows down."""
        return self.refusals_in_a_row >= REFUSALS_THAT_OPEN_THE_CIRCUIT


@dataclass(frozen=True)
class _Wish:
    """A trigger that applies; ``hold`` says why it does not count yet."""

    trigger: Trigger
    why: str
    hold: str | None = None


def rows_needed(
    problem: Problem,
    state: RetrainState,
    trigger: str | None = None,
    evidence: RetrainEvidence | None = None,
) -> int:
    """New labelled rows before another attempt: twice as many with each refusal, up to eightfold.

    A challenger that was refused on these rows would be refused on them again. While harm is
    measured, twice as many at most: it costs more than trainings do. Past an open
    circuit, a kind of ``trigger`` that was not among the refused ones waits for no more than usual.
    """
    policy = problem.retrain
    worthwhile = 0 if evidence is None else _worthwhile_rows(policy, evidence, trigger)
    if _is_new_kind(state, trigger) or not policy.back_off:
        return max(policy.min_new_rows, worthwhile)
    most = MOST_DOUBLINGS_AT_HARM if trigger in HARM else MOST_DOUBLINGS
    times = 1 << min(state.refusals_in_a_row, most)
    # Harm that lasts must not wait for many times what the champion once learnt from.
    patience = times if trigger in ("volume", "drift") else 1
    return max(policy.min_new_rows * times, worthwhile * patience)


def _worthwhile_rows(policy: RetrainPolicy, evidence: RetrainEvidence, trigger: str | None) -> int:
    """New rows that can make a difference, as a share of those that the champion learnt from.

    ``growth`` where nothing but their number asks for it; half of that where inputs moved
    without harm; a quarter where there may be harm, or the champion is old.
    """
    if policy.growth is None:
        return 0
    is_calm = trigger == "drift" and evidence.harm == "none"
    part = 1 if trigger == "volume" else 2 if is_calm else 4
    share = math.ceil(policy.growth * evidence.n_trained / part)
    return share if policy.volume_rows is None else min(share, policy.volume_rows)


def decide_retrain(
    evidence: RetrainEvidence,
    problem: Problem,
    state: RetrainState,
    now: datetime,
    manual_reason: str | None = None,
) -> Decision:
    """Whether to train a challenger now; a person's wish overrides every brake."""
    numbers = _numbers(evidence, problem, state)
    if manual_reason is not None:
        return Decision(True, f"asked for: {manual_reason}", numbers, "manual")
    if not state.has_champion:
        return _decide_bootstrap(evidence, problem, state, numbers)
    wishes = list(_wishes(evidence, problem, state, now))
    if not wishes:
        reason = f"nothing asks for it: {evidence.drift_reason}; {evidence.performance_reason}"
        return Decision(False, reason, numbers)
    wish, brake = _strongest(wishes, lambda one: _brakes(evidence, problem, state, now, one))
    numbers["rows_needed"] = rows_needed(problem, state, wish.trigger, evidence)
    if brake is not None:
        return Decision(False, f"{wish.why}, but {brake}", numbers, wish.trigger)
    trial = f" (a trial: {_refusals(state)})" if state.is_circuit_open else ""
    return Decision(True, wish.why + trial, numbers, wish.trigger)


def _strongest(
    wishes: Sequence[_Wish], brakes: Callable[[Trigger], Iterator[str]]
) -> tuple[_Wish, str | None]:
    """The first wish that nothing holds back; else the first that counts already, and its brake."""
    held = [(wish, wish.hold or next(brakes(wish.trigger), None)) for wish in wishes]
    free = [one for one in held if one[1] is None]
    counting = [one for one in held if one[0].hold is None]
    return next(iter((*free, *counting, *held)))


def _numbers(evidence: RetrainEvidence, problem: Problem, state: RetrainState) -> dict[str, Any]:
    return {
        **vars(evidence),
        **vars(state),
        "harm": evidence.harm,
        "looks": write_looks(evidence.looks),
        "is_circuit_open": state.is_circuit_open,
        "rows_needed": rows_needed(problem, state),
    }


def _decide_bootstrap(
    evidence: RetrainEvidence, problem: Problem, state: RetrainState, numbers: dict[str, Any]
) -> Decision:
    needed = problem.windows.bootstrap_rows
    if evidence.n_labelled < needed:
        reason = f"no champion yet, and {evidence.n_labelled} labelled rows of {needed} needed"
        return Decision(False, reason, numbers, "bootstrap")
    if (brake := _waits(state, "bootstrap")) is not None:
        return Decision(False, f"no champion yet, and {brake}", numbers, "bootstrap")
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
) -> Iterator[_Wish]:
    policy = problem.retrain
    if policy.on_performance and evidence.is_below_floor:
        hold = _hold(policy, evidence, "performance")
        yield _Wish("performance", evidence.performance_reason, hold)
    if policy.on_estimate and evidence.is_estimated_below:
        yield _Wish("estimate", evidence.estimate_reason, _hold(policy, evidence, "estimate"))
    if policy.on_drift and evidence.is_drifted:
        yield _drift_wish(policy, evidence)
    if (why := _enough_rows(policy, evidence)) is not None:
        yield _Wish("volume", why)
    if policy.max_age is not None and state.champion_clock is not None:
        age = now - state.champion_clock
        if policy.max_age.time is not None and age >= policy.max_age.time:
            yield _Wish(
                "age", f"the champion is {age.days} days old, the limit is {policy.max_age}"
            )
        elif policy.max_age.rows is not None and evidence.n_new >= policy.max_age.rows:
            yield _Wish("age", f"the champion is {evidence.n_new} rows old, limit {policy.max_age}")


def _enough_rows(policy: RetrainPolicy, evidence: RetrainEvidence) -> str | None:
    """Why the new labelled rows are enough by themselves, if they are."""
    n_new, n_trained = evidence.n_new, evidence.n_trained
    if policy.volume_rows is None:
        return None
    if n_new >= policy.volume_rows:
        return f"{n_new} new labelled rows ≥ {policy.volume_rows}"
    if policy.growth is not None and n_trained and n_new >= policy.growth * n_trained:
        share = f"{policy.growth:.0%} of the {n_trained} that the champion learnt from"
        return f"{n_new} new labelled rows ≥ {share}"
    return None


def _drift_wish(policy: RetrainPolicy, evidence: RetrainEvidence) -> _Wish:
    seen = {
        "found": "with harm",
        "none": f"without harm so far: {evidence.performance_reason}",
        "unknown": f"harm unknown: {evidence.performance_reason}",
    }[evidence.harm]
    hold = _hold(policy, evidence, "drift")
    if hold is None and evidence.harm == "none" and not policy.on_harmless_drift:
        hold = "drift without harm retrains nothing here (on_harmless_drift)"
    return _Wish("drift", f"{evidence.drift_reason}, {seen}", hold)


def _hold(policy: RetrainPolicy, evidence: RetrainEvidence, signal: SignalName) -> str | None:
    return not_yet(evidence.looks.get(signal, ()), policy.violations, policy.of_windows)


def _brakes(
    evidence: RetrainEvidence,
    problem: Problem,
    state: RetrainState,
    now: datetime,
    trigger: Trigger,
) -> Iterator[str]:
    policy = problem.retrain
    if (brake := _waits(state, trigger)) is not None:
        yield brake
    if state.rollout is not None:
        yield state.rollout
    needed = rows_needed(problem, state, trigger, evidence)
    if evidence.n_unused < needed:
        why = f"only {evidence.n_unused} new labelled rows of {needed} needed"
        yield why + _circuit(state)
    if state.last_attempt is not None:
        since, rest = now - state.last_attempt, policy.cooldown
        if _is_within(rest, since, evidence.n_unused):
            yield (
                f"{evidence.n_unused} rows since the last attempt, cooldown {rest}"
                if rest.time is None
                else f"the last attempt was at {state.last_attempt:%Y-%m-%d %H:%M}, cooldown {rest}"
            )
        # A clock that went backwards must not lift the brake for ever.
        if since < timedelta(days=-1):
            yield f"the clock stands a day before the last attempt ({now:%Y-%m-%d %H:%M})"
        pause = policy.circuit_pause
        is_paused = state.is_circuit_open and not _is_new_kind(state, trigger)
        if is_paused and _is_within(pause, since, evidence.n_unused):
            yield (
                f"the circuit is open: {_refusals(state)}; the next is tried {pause} after the "
                "last attempt, at another kind of trigger, or by hand"
            )
    if state.attempts_today >= policy.daily_budget:
        yield f"{state.attempts_today} attempts in 24 hours use up the budget"


def _waits(state: RetrainState, trigger: Trigger) -> str | None:
    """Why a challenger that waits for more rows is not replaced for this trigger, if it is not."""
    if state.waiting_version is None:
        return None
    earlier = state.waiting_trigger if state.waiting_trigger in STRENGTH else "age"
    if earlier == "manual":
        # A wish goes before all else when it is made; harm that is measured since is news.
        earlier = "estimate"
    if STRENGTH.index(trigger) > STRENGTH.index(earlier):
        return None
    return f"version {state.waiting_version} waits for enough rows to be judged"


def _is_within(span: Span, time: timedelta, n_rows: int) -> bool:
    if span.time is not None:
        return time < span.time
    return n_rows < (span.rows or 0)


def _is_new_kind(state: RetrainState, trigger: str | None) -> bool:
    """Whether this trigger would pass an open circuit, since none of its kind was refused."""
    known = state.refused_triggers
    return state.is_circuit_open and trigger is not None and bool(known) and trigger not in known


def _refusals(state: RetrainState) -> str:
    kinds = f" ({', '.join(sorted(set(state.refused_triggers)))})" if state.refused_triggers else ""
    return f"{state.refusals_in_a_row} challengers refused in a row{kinds}"


def _circuit(state: RetrainState) -> str:
    return f" (circuit open: {_refusals(state)})" if state.is_circuit_open else ""
