"""Continual: the loop."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from flows.each import for_each
from flows.ingest import ingest_all
from flows.loop_flow import loop_flow
from flows.monitor import counted
from flows.parameters import ProblemName
from flows.retrain import challenge, challenge_again
from tasks.champion_check import check_champion
from tasks.decide import decide
from tasks.drift import watch_drift
from tasks.drift_joint import watch_joint
from tasks.drift_report import render_drift_report
from tasks.estimate import watch_estimate
from tasks.notify import deliver_alerts
from tasks.overview import leave_overview
from tasks.performance import watch_performance
from tasks.record import record_versions
from tasks.rollout_watch import watch_rollout
from tasks.run import Run
from tasks.servers import watch_servers


@loop_flow("continual", timeout_minutes=120)
def continual(problem: ProblemName = None, now: datetime | None = None) -> dict[str, Any]:
    """Ingest new rows, watch drift and performance, and retrain when that is due.

    Args:
        problem: one problem, by its name; empty: each active one (PERENNIAL_ACTIVE)
        now: leave it empty; the time that the run takes for the present, in a replay
    """
    return for_each("continual", problem, now, _tick)


def _tick(run: Run) -> dict[str, Any]:
    result: dict[str, Any] = {"ingested": ingest_all(run)}
    api = watch_servers(run)
    if (damage := check_champion(run)) is not None:
        return {**result, "champion": damage}
    if (stages := watch_rollout(run, api)) is not None:  # what follows is the champion's then
        result["rollout"] = stages
    drift, performance = watch_drift(run), watch_performance(run)
    decision = decide(run, drift, performance, watch_estimate(run))
    result |= {"retrain": decision.go, "reason": decision.reason, **counted(drift)}
    if decision.go:
        result["challenger"] = challenge(run, decision)
    elif (again := challenge_again(run)) is not None:
        result["challenger"] = again
    record_versions(run)
    deliver_alerts(run.settings)  # what follows takes longer, and decides nothing
    watch_joint(run)
    render_drift_report(run)
    leave_overview(run)
    return result
