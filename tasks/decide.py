"""Decide: gather evidence and state, ask the rule, keep its answer."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from itertools import takewhile
from typing import Any

import numpy as np
from sqlalchemy import Row

from learning import alert_text
from learning.decision import Decision, RetrainEvidence, RetrainState, decide_retrain
from learning.drift import DriftResult
from learning.performance import PerformanceResult
from storage import models, reports
from storage.database import reading
from storage.observations import EVENT_TIME, read_observations
from tasks.artifacts import show_decision
from tasks.champion import load_champion
from tasks.run import Run
from tasks.step import step

N_ATTEMPTS = 50
N_FORGIVEN = 2


@step("decide whether to retrain")
def decide(
    run: Run,
    drift: DriftResult | None,
    performance: PerformanceResult | None,
    manual_reason: str | None = None,
) -> Decision:
    """The retrain decision, kept with its evidence; tells of a calm check when all is well."""
    evidence, state = _evidence(run, drift, performance), _state(run)
    decision = decide_retrain(evidence, run.problem, state, run.now, manual_reason)
    with run.commit() as connection:
        reports.save_decision(
            connection,
            {
                "run_id": run.run_id,
                "problem": run.name,
                "kind": "retrain",
                "go": decision.go,
                "trigger": decision.trigger,
                "reason": decision.reason,
                "evidence": {**decision.evidence, "n_labelled": evidence.n_labelled},
                "clock": run.now,
            },
        )
        if drift is not None and not (evidence.is_drifted or evidence.is_below_floor):
            metric = performance.metric if performance is not None else "performance"
            value = performance.value if performance is not None else None
            champion = models.champion(connection, run.name)
            if champion is not None:
                alert = alert_text.all_well(str(champion.version), drift.drift_share, metric, value)
                run.alert(connection, alert)
        if not decision.go and state.is_circuit_open and decision.trigger is not None:
            run.alert(connection, alert_text.circuit_open(state.refusals_in_a_row, decision.reason))
    show_decision(run, decision)
    return decision


def _evidence(
    run: Run, drift: DriftResult | None, performance: PerformanceResult | None
) -> RetrainEvidence:
    champion = load_champion(run)
    frame = read_observations(run.store, run.name, labelled_only=True)
    times = (
        frame[EVENT_TIME].dt.tz_convert(None).to_numpy(dtype="datetime64[us]")
        if len(frame)
        else np.array([], dtype="datetime64[us]")
    )
    n_new = len(times)
    if champion is not None:
        n_new -= int(np.searchsorted(times, champion.training_end, side="right"))
    return RetrainEvidence(
        n_labelled=len(times),
        n_new=n_new,
        n_unused=len(times) - _n_labelled_at_last_attempt(run),
        is_drifted=drift is not None and drift.is_drifted,
        drift_reason=drift.reason if drift is not None else "no drift result",
        is_below_floor=performance is not None and performance.is_below_floor,
        performance_reason=performance.reason if performance is not None else "no labels",
    )


def _n_labelled_at_last_attempt(run: Run) -> int:
    with reading(run.engine) as connection:
        past = reports.decisions_of(connection, run.name, "retrain", newest=1000)
        attempts = models.attempts(connection, run.name, N_ATTEMPTS)
    tried = {row.run_id for row in _counted(attempts)}
    for row in past:
        if row.go and row.run_id in tried and row.run_id != run.run_id:
            return int(row.evidence.get("n_labelled", 0))
    return 0


def _state(run: Run) -> RetrainState:
    with reading(run.engine) as connection:
        attempts = models.attempts(connection, run.name, N_ATTEMPTS)
        champion = models.champion(connection, run.name)
    counted = _counted(attempts)
    judged = [attempt for attempt in attempts if attempt.state != "abandoned"]
    refusals = len(list(takewhile(lambda attempt: attempt.state == "refused", judged)))
    day_ago = run.now - timedelta(days=1)
    return RetrainState(
        has_champion=champion is not None,
        champion_clock=champion.clock if champion is not None else None,
        last_attempt=counted[0].clock if counted else None,
        attempts_today=sum(day_ago < attempt.clock <= run.now for attempt in attempts),
        refusals_in_a_row=refusals,
    )


def _counted(attempts: Sequence[Row[Any]]) -> Sequence[Row[Any]]:
    """The attempts that use up rows and start the cooldown, newest first.

    What a killed process left behind does not, so that the next run tries again; only after it
    died so twice, since the third death would have the same cause.
    """
    n_dead = len(list(takewhile(lambda attempt: attempt.state == "abandoned", attempts)))
    return attempts[n_dead:] if n_dead <= N_FORGIVEN else attempts
