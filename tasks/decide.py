"""Decide: gather evidence and state, ask the rule, keep its answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import timedelta
from itertools import takewhile
from typing import Any

import pandas as pd
from sqlalchemy import Connection, Row

from learning import alert_text
from learning.decision import Decision, RetrainEvidence, RetrainState, decide_retrain
from learning.decision_windows import Windows, look, read_looks
from learning.drift import DriftResult
from learning.estimate import EstimateResult
from learning.performance import PerformanceResult
from storage import models, reports, rollouts
from storage.bundles import read_bundle
from storage.database import reading
from storage.kill_points import reach
from storage.observations import count_labelled
from storage.progress import Progress, count_on, read_progress
from tasks.artifacts import show_decision
from tasks.run import Run
from tasks.step import step

N_ATTEMPTS = 50
N_FORGIVEN = 2
# Neither refused nor served: nothing can be learnt from them about refusals in a row.
UNDECIDED = frozenset({"abandoned", "superseded", "waiting"})


@step("decide whether to retrain")
def decide(
    run: Run,
    drift: DriftResult | None,
    performance: PerformanceResult | None,
    estimate: EstimateResult | None = None,
    manual_reason: str | None = None,
) -> Decision:
    """The retrain decision, kept with its evidence; tells of a calm check when all is well."""
    with reading(run.engine) as connection:
        champion = models.champion(connection, run.name)
        attempts = models.attempts(connection, run.name, N_ATTEMPTS)
        before = _last_evidence(connection, run)
        progress = count_on(connection, run.name, read_progress(before.get("progress", {})))
        tried = reports.go_evidence(connection, run.name, [row.run_id for row in attempts])
        stage = rollouts.running(connection, run.name, rollouts.BEFORE_PROMOTION)
    version = None if champion is None else str(champion.version)
    looks = _looks(run, before, version, progress, drift, performance, estimate)
    evidence = _evidence(run, champion, attempts, tried, looks, drift, performance, estimate)
    state = _state(run, champion, attempts, tried, stage)
    decision = decide_retrain(evidence, run.problem, state, run.now, manual_reason)
    kept = {**decision.evidence, "champion": version, "progress": asdict(progress)}
    if run.problem.every.time is not None:
        kept["every_seconds"] = run.problem.every.time.total_seconds()
    if run.problem.retrain.max_age is not None and run.problem.retrain.max_age.time is not None:
        kept["max_age_seconds"] = run.problem.retrain.max_age.time.total_seconds()
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
                "evidence": kept,
                "clock": run.now,
            },
        )
        if drift is not None and version is not None and evidence.is_calm:
            metric = performance.metric if performance is not None else "performance"
            value = performance.value if performance is not None else None
            run.alert(connection, alert_text.all_well(version, drift.drift_share, metric, value))
        if not state.is_circuit_open:
            why = f"Challengers refused in a row: {state.refusals_in_a_row}."
            run.alert(connection, alert_text.circuit_closed(why))
        if not decision.go and state.is_circuit_open and decision.trigger is not None:
            run.alert(connection, alert_text.circuit_open(state.refusals_in_a_row, decision.reason))
    reach("monitor.decision_saved")
    show_decision(run, decision)
    return decision


def _last_evidence(connection: Connection, run: Run) -> dict[str, Any]:
    past = reports.decisions_of(connection, run.name, "retrain", newest=1)
    return dict(past[0].evidence) if past else {}


def _looks(
    run: Run,
    before: dict[str, Any],
    version: str | None,
    progress: Progress,
    drift: DriftResult | None,
    performance: PerformanceResult | None,
    estimate: EstimateResult | None,
) -> dict[str, Windows]:
    """The windows of this champion with what was seen now; another champion starts afresh."""
    is_same = before.get("champion") == version
    looks: dict[str, Windows] = read_looks(before.get("looks", {}) if is_same else {})
    problem = run.problem
    if drift is not None and drift.drift_share is not None:
        looks["drift"] = look(
            looks["drift"], progress.n_inputs, drift.is_drifted, problem.drift.min_rows
        )
    if performance is not None and performance.value is not None:
        looks["performance"] = look(
            looks["performance"],
            progress.n_labels,
            performance.is_below_floor,
            problem.performance.min_rows,
        )
    if estimate is not None and estimate.value is not None:
        looks["estimate"] = look(
            looks["estimate"],
            progress.n_served,
            estimate.is_below_floor,
            problem.performance.min_rows,
        )
    return looks


def _evidence(
    run: Run,
    champion: Row[Any] | None,
    attempts: Sequence[Row[Any]],
    tried: Sequence[Row[Any]],
    looks: dict[str, Windows],
    drift: DriftResult | None,
    performance: PerformanceResult | None,
    estimate: EstimateResult | None,
) -> RetrainEvidence:
    n_labelled = n_new = count_labelled(run.store, run.name)
    if champion is not None and champion.bundle is not None:
        manifest = read_bundle(run.store, run.name, champion.bundle).manifest
        after = pd.Timestamp(manifest.training_end).to_pydatetime()
        n_new = count_labelled(run.store, run.name, after)
    counted = {row.run_id for row in _counted(attempts)}
    used = [row.evidence.get("n_labelled", 0) for row in tried if row.run_id in counted]
    return RetrainEvidence(
        n_labelled=n_labelled,
        n_new=n_new,
        n_unused=n_labelled - int(used[0] if used else 0),
        is_drifted=drift is not None and drift.is_drifted,
        drift_reason=drift.reason if drift is not None else "no drift result",
        is_below_floor=performance is not None and performance.is_below_floor,
        performance_reason=performance.reason if performance is not None else "no labels",
        is_measured=performance is not None and performance.value is not None,
        is_estimated_below=estimate is not None and estimate.is_below_floor,
        estimate_reason=estimate.reason if estimate is not None else "no estimate",
        is_estimated=estimate is not None and estimate.value is not None,
        looks=looks,
    )


def _state(
    run: Run,
    champion: Row[Any] | None,
    attempts: Sequence[Row[Any]],
    tried: Sequence[Row[Any]],
    stage: Row[Any] | None,
) -> RetrainState:
    counted = _counted(attempts)
    waiting = next((attempt for attempt in attempts if attempt.state == "waiting"), None)
    judged = [attempt for attempt in attempts if attempt.state not in UNDECIDED]
    refused = list(takewhile(lambda attempt: attempt.state == "refused", judged))
    triggers = {row.run_id: row.trigger for row in tried}
    kinds = {triggers[row.run_id] for row in refused if triggers.get(row.run_id)}
    day_ago = run.now - timedelta(days=1)
    return RetrainState(
        has_champion=champion is not None,
        champion_clock=champion.clock if champion is not None else None,
        last_attempt=counted[0].clock if counted else None,
        attempts_today=sum(day_ago < attempt.clock <= run.now for attempt in attempts),
        refusals_in_a_row=len(refused),
        refused_triggers=tuple(sorted(kinds)),
        waiting_version=None if waiting is None else waiting.version,
        waiting_trigger=None if waiting is None else triggers.get(waiting.run_id),
        rollout=None if stage is None else f"version {stage.version} is tried as {stage.stage}",
    )


def _counted(attempts: Sequence[Row[Any]]) -> Sequence[Row[Any]]:
    """The attempts that use up rows and start the cooldown, newest first.

    What a killed process left behind does not, so that the next run tries again; only after it
    died so twice, since the third death would have the same cause.
    """
    n_dead = len(list(takewhile(lambda attempt: attempt.state == "abandoned", attempts)))
    return attempts[n_dead:] if n_dead <= N_FORGIVEN else attempts
