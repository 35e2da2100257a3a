"""One policy over a stream: the loop's turns, one after another, on a simulated clock."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import numpy as np

from learning.attempts import (
    Attempt,
    Counts,
    LabelledRows,
    gather_evidence,
    look_at_signals,
    retrain_state,
)
from learning.decision import Decision, decide_retrain
from learning.drift_result import DriftResult
from learning.estimate import EstimateResult
from learning.gate import Verdict
from learning.performance import PerformanceResult, expected_value, glance_at_performance
from learning.replay_archive import ask_archive
from learning.replay_estimate import estimate_newest
from learning.replay_gate import Look, count_judging, judge_at
from learning.replay_policies import Policy
from learning.replay_record import (
    Alarm,
    PolicyState,
    Return,
    Trial,
    anchor_place,
    archived_places,
)
from learning.replay_workshop import Model, Workshop

Signals = tuple[DriftResult | None, PerformanceResult | None, EstimateResult | None]


class PolicyReplay:
    """Runs the loop under one policy; `state` may be kept at any turn and gone on from."""

    def __init__(self, shop: Workshop, policy: Policy, state: PolicyState | None = None) -> None:
        self.policy, self._shop, self._stream = policy, shop, shop.stream
        self._problem = policy.of(shop.problem)
        self._state = state or _beginning(shop)
        self._champion = self._load_champion()

    @property
    def state(self) -> PolicyState:
        """Where it stands."""
        state = self._state
        # The answers are written in place from turn to turn.
        return replace(state, output=state.output.copy(), thresholds=state.thresholds.copy())

    def run(self) -> Iterator[int]:
        """Take all turns that are left; gives the position after each."""
        for position in self._stream.positions:
            if position >= self._state.position:
                self._turn(position)
                yield self._state.position

    def _turn(self, position: int) -> None:
        signals = self._watch(position)
        self._note_alarms(position, signals)
        decision, n_labelled = self._decide(position, signals)
        if decision.go:
            self._challenge(position, decision, n_labelled)
        else:
            self._judge_again(position)
        end = min(position + self._stream.batch_rows, len(self._stream))
        if self._champion is not None:
            found, seconds = self._shop.output(self._champion, position, end)
            self._state.output[position:end] = found
            self._state.thresholds[position:end] = self._champion.challenger.threshold
            self._spend(seconds)
        self._state = replace(self._state, position=end)

    def _watch(self, position: int) -> Signals:
        """What the champion's signals say, of those that the policy listens to."""
        champion, rules = self._champion, self._problem.retrain
        if champion is None:
            return None, None, None
        drift = performance = estimate = None
        if rules.on_drift:
            drift, seconds = self._shop.drift(champion, position)
            self._spend(seconds)
        if rules.on_performance or (rules.on_drift and not rules.on_harmless_drift):
            place = ("performance", champion.key, self._state.since, position, self._state.expected)
            performance, seconds = self._shop.timed(place, lambda: self._measure(position))
            self._spend(seconds)
        if rules.on_estimate:
            estimate = self._estimate(position)
        return drift, performance, estimate

    def _measure(self, position: int) -> PerformanceResult:
        """The champion's answers that have their label by now, the newest of them."""
        assert self._champion is not None
        state, made = self._state, self._champion.challenger
        first, end = state.since, max(state.since, self._stream.n_known(position))
        y = self._stream.rows.y[first:end]
        newest = np.flatnonzero(~np.isnan(y))[-self._problem.performance.window_rows :]
        return glance_at_performance(
            self._stream.schema.task,
            y[newest],
            state.output[first:end][newest],
            made.threshold,
            self._problem.performance,
            state.expected,
        )

    def _estimate(self, position: int) -> EstimateResult | None:
        assert self._champion is not None
        state, rules = self._state, self._problem.performance
        last = state.estimate
        if last is not None and position - last[0] < rules.min_rows:
            return last[1]
        served = slice(max(state.since, position - rules.window_rows), position)
        place = ("estimate", self._champion.key, state.since, position, state.expected)
        made, x = self._champion.challenger, self._stream.rows.x[served]
        found, seconds = self._shop.timed(
            place,
            lambda: estimate_newest(
                made, x, state.output[served], self._stream, rules, state.expected
            ),
        )
        self._spend(seconds)
        if found.value is not None:
            self._state = replace(state, estimate=(position, found), seconds=self._state.seconds)
        return found

    def _decide(self, position: int, signals: Signals) -> tuple[Decision, int]:
        labelled = self._stream.labelled(position)
        champion, state = self._champion, self._state
        n_labelled = n_new = len(labelled)
        clock = None
        if champion is not None and state.served is not None:
            n_new -= int(np.searchsorted(labelled.times, champion.training_end, "right"))
            clock = state.trials[state.served].attempt.clock
        counts = Counts(position, n_labelled, position)
        looks = look_at_signals(state.looks, counts, self._problem, *signals)
        attempts = [trial.attempt for trial in reversed(state.trials)]
        counted = LabelledRows(n_labelled, n_new, 0 if champion is None else champion.n_learnt)
        evidence = gather_evidence(counted, attempts, looks, *signals)
        now = self._stream.clock(position)
        past = retrain_state(attempts, champion is not None, clock, now)
        self._state = replace(state, looks=looks)
        return decide_retrain(evidence, self._problem, past, now), n_labelled

    def _challenge(self, position: int, decision: Decision, n_labelled: int) -> None:
        """Train a challenger, in place of one that waits, and let the gate have its first look.

        Unless a former champion wins first.
        """
        if self._take_back(position):
            return
        former = (self._model(self._state.trials[n]) for n in archived_places(self._state))
        key, seconds = self._shop.key_at(
            position, self._champion, self._newest(), decision.trigger, former
        )
        made, training = self._shop.train(key)
        seconds += training
        self._spend(seconds)
        clock, trigger = self._stream.clock(position), decision.trigger
        outcome, verdict = ("candidate", "") if isinstance(made, Model) else ("refused", made)
        version = len(self._state.trials) + 1
        attempt = Attempt(outcome, clock, trigger, n_labelled, version)
        trial = Trial(position, attempt, key, decision.reason, verdict, seconds)
        if (waiting := self._waiting()) is not None:
            self._settle(waiting, "superseded", "a newer challenger is trained")
        self._state = replace(self._state, trials=(*self._state.trials, trial))
        if isinstance(made, Model):
            self._judge(position, len(self._state.trials) - 1, made)

    def _take_back(self, position: int) -> bool:
        """Whether a former champion serves again, so that nothing needs to be trained."""
        places = archived_places(self._state)
        if self._champion is None or not places or not self._problem.retrain.ask_archive:
            return False
        trials = self._state.trials
        former = {n: (self._model(trials[n]), trials[n].expected) for n in places}
        found, seconds = ask_archive(self._shop, position, former, self._champion, self._anchor())
        self._spend(seconds)
        if found is None:
            return False
        place, verdict = found
        made_at, why = trials[place].position, verdict.decision.reason
        back = Return(position, place, made_at, why, _is_better(verdict))
        self._state = replace(self._state, returns=(*self._state.returns, back))
        self._crown(position, place, *former[place])
        return True

    def _judge_again(self, position: int) -> None:
        """Another look at a challenger that waits, once there are enough more rows."""
        place = self._waiting()
        if place is None:
            return
        trial, rules = self._state.trials[place], self._problem.gate
        made = self._model(trial)
        n_rows = count_judging(self._shop, made, self._champion, position)
        needed = max(rules.growth * trial.n_judged, rules.min_rows)
        if n_rows >= needed or self._is_out_of_patience(position, trial, n_rows):
            self._judge(position, place, made)

    def _judge(self, position: int, place: int, made: Model) -> None:
        trial, rules = self._state.trials[place], self._problem.gate
        n_rows = count_judging(self._shop, made, self._champion, position)
        number = trial.looks + 1
        is_last = number >= rules.looks or self._is_out_of_patience(position, trial, n_rows)
        look = Look(position, made, self._champion, self._anchor(), number, is_last)
        verdict, seconds = judge_at(self._shop, look)
        self._spend(seconds)
        outcome = {"promote": "promoted", "refuse": "refused"}.get(verdict.outcome, "waiting")
        expected = trial.expected
        if verdict.decision.go:
            holdout = made.challenger.metrics.get(made.challenger.metric)
            expected = expected_value(made.challenger.metric, holdout, self._state.expected)
        self._settle(
            place,
            outcome,
            verdict.decision.reason,
            seconds=trial.seconds + seconds,
            looks=number,
            n_judged=n_rows,
            is_better=_is_better(verdict),
            expected=expected,
        )
        if verdict.decision.go:
            self._crown(position, place, made, expected)

    def _crown(self, position: int, place: int, made: Model, expected: float | None) -> None:
        """Serve a model from now on; what was seen of the former one says nothing of it."""
        self._state = replace(
            self._state,
            served=place,
            since=position,
            looks={},
            sounding=frozenset(),
            estimate=None,
            expected=expected,
        )
        self._champion = made

    def _settle(self, place: int, outcome: str, verdict: str, **changes: Any) -> None:
        trials = list(self._state.trials)
        attempt = replace(trials[place].attempt, state=outcome)
        trials[place] = replace(trials[place], attempt=attempt, verdict=verdict, **changes)
        self._state = replace(self._state, trials=tuple(trials))

    def _waiting(self) -> int | None:
        trials = self._state.trials
        return next((n for n, one in enumerate(trials) if one.attempt.state == "waiting"), None)

    def _is_out_of_patience(self, position: int, trial: Trial, n_rows: int) -> bool:
        patience = self._problem.gate.patience
        if patience.rows is not None:
            return n_rows >= patience.rows
        waited = self._stream.clock(position) - trial.attempt.clock
        return waited >= (patience.time or timedelta(0))

    def _anchor(self) -> Model | None:
        """The newest champion that came by being better, else the first; not the serving one."""
        place = anchor_place(self._state)
        return None if place is None else self._model(self._state.trials[place])

    def _newest(self) -> Model | None:
        """The challenger that was trained last, of those that could be."""
        for trial in reversed(self._state.trials):
            made, _ = self._shop.train(trial.key)
            if isinstance(made, Model):
                return made
        return None

    def _model(self, trial: Trial) -> Model:
        """A model that was trained before; trained again where a replay goes on."""
        made, _ = self._shop.train(trial.key)
        assert isinstance(made, Model)
        return made

    def _note_alarms(self, position: int, signals: Signals) -> None:
        drift, performance, estimate = signals
        sounds = {
            "drift": drift is not None and drift.is_drifted,
            "performance": performance is not None and performance.is_below_floor,
            "estimate": estimate is not None and estimate.is_below_floor,
        }
        sounding = frozenset(name for name, is_on in sounds.items() if is_on)
        begun = [Alarm(position, name) for name in sorted(sounding - self._state.sounding)]
        alarms = (*self._state.alarms, *begun)
        self._state = replace(self._state, alarms=alarms, sounding=sounding)

    def _load_champion(self) -> Model | None:
        """The model that serves, trained again where the replay goes on from a kept state."""
        if self._state.served is None:
            return None
        return self._model(self._state.trials[self._state.served])

    def _spend(self, seconds: float) -> None:
        self._state = replace(self._state, seconds=self._state.seconds + seconds)


def _is_better(verdict: Verdict) -> bool:
    return verdict.decision.go and (verdict.gain_low or 0.0) > 0


def _beginning(shop: Workshop) -> PolicyState:
    n_rows, width = len(shop.stream), len(shop.stream.schema.classes) or 1
    empty = np.full((n_rows, width), np.nan)
    return PolicyState(shop.stream.batch_rows, empty, np.full(n_rows, 0.5))
