"""Decide: gather evidence and state, ask the rule, keep its answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

import pandas as pd
from sqlalchemy import Connection, Row

from learning import alert_text
from learning.attempts import (
    Attempt,
    Counts,
    LabelledRows,
    gather_evidence,
    look_at_signals,
    retrain_state,
)
from learning.decision import Decision, decide_retrain
from learning.decision_windows import read_looks
from learning.drift import DriftResult
from learning.estimate import EstimateResult
from learning.performance import PerformanceResult
from learning.windows import rows_learnt
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
        rows = models.attempts(connection, run.name, N_ATTEMPTS)
        before = _last_evidence(connection, run)
        progress = count_on(connection, run.name, read_progress(before.get("progress", {})))
        tried = reports.go_evidence(connection, run.name, [row.run_id for row in rows])
        stage = rollouts.running(connection, run.name, rollouts.BEFORE_PROMOTION)
    version = None if champion is None else str(champion.version)
    is_same = before.get("champion") == version  # another champion starts afresh
    looks = look_at_signals(
        read_looks(before.get("looks", {}) if is_same else {}),
        Counts(progress.n_inputs, progress.n_labels, progress.n_served),
        run.problem,
        drift,
        performance,
        estimate,
    )
    attempts = _attempts(rows, tried)
    counted = _count_rows(run, champion)
    evidence = gather_evidence(counted, attempts, looks, drift, performance, estimate)
    clock = None if champion is None else champion.clock
    tried_as = None if stage is None else f"version {stage.version} is tried as {stage.stage}"
    state = retrain_state(attempts, champion is not None, clock, run.now)
    state = replace(state, rollout=tried_as)
    decision = decide_retrain(evidence, run.problem, state, run.now, manual_reason)
    with run.commit() as connection:
        _keep(connection, run, decision, version, progress)
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


def _keep(
    connection: Connection, run: Run, decision: Decision, champion: str | None, progress: Progress
) -> None:
    kept = {**decision.evidence, "champion": champion, "progress": asdict(progress)}
    if run.problem.every.time is not None:
        kept["every_seconds"] = run.problem.every.time.total_seconds()
    if run.problem.retrain.max_age is not None and run.problem.retrain.max_age.time is not None:
        kept["max_age_seconds"] = run.problem.retrain.max_age.time.total_seconds()
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


def _last_evidence(connection: Connection, run: Run) -> dict[str, Any]:
    past = reports.decisions_of(connection, run.name, "retrain", newest=1)
    return dict(past[0].evidence) if past else {}


def _attempts(rows: Sequence[Row[Any]], tried: Sequence[Row[Any]]) -> list[Attempt]:
    """The versions as attempts, newest first, with what asked for each and on how many labels."""
    asked = {row.run_id: row for row in tried}
    return [
        Attempt(row.state, row.clock, version=row.version)
        if (why := asked.get(row.run_id)) is None
        else Attempt(
            row.state, row.clock, why.trigger, int(why.evidence.get("n_labelled", 0)), row.version
        )
        for row in rows
    ]


def _count_rows(run: Run, champion: Row[Any] | None) -> LabelledRows:
    n_labelled = n_new = count_labelled(run.store, run.name)
    n_trained = 0
    if champion is not None and champion.bundle is not None:
        manifest = read_bundle(run.store, run.name, champion.bundle).manifest
        after = pd.Timestamp(manifest.training_end).to_pydatetime()
        n_new = count_labelled(run.store, run.name, after)
        n_trained = rows_learnt(manifest.n_training_rows, manifest.training_window)
    return LabelledRows(n_labelled, n_new, n_trained)
