"""Monitor: drift and live performance."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from flows.each import for_each
from flows.loop_flow import loop_flow
from flows.parameters import ProblemName
from learning.drift import DriftResult
from tasks.champion_check import check_champion
from tasks.drift import watch_drift
from tasks.drift_joint import watch_joint
from tasks.drift_report import render_drift_report
from tasks.estimate import watch_estimate
from tasks.notify import deliver_alerts
from tasks.overview import leave_overview
from tasks.performance import watch_performance
from tasks.rollout_watch import watch_rollout
from tasks.run import Run
from tasks.servers import watch_servers


@loop_flow("monitor", timeout_minutes=60)
def monitor(problem: ProblemName = None, now: datetime | None = None) -> dict[str, Any]:
    """Test the newest rows for drift, measure the champion on mature labels, draw the report.

    Args:
        problem: one problem, by its name; empty: each active one (PERENNIAL_ACTIVE)
        now: leave it empty; the time that the run takes for the present, in a replay
    """
    return for_each("monitor", problem, now, _watch)


def _watch(run: Run) -> dict[str, Any]:
    api = watch_servers(run)
    if (damage := check_champion(run)) is not None:
        return {"champion": damage}
    stages = watch_rollout(run, api)
    drift, performance, estimate = watch_drift(run), watch_performance(run), watch_estimate(run)
    deliver_alerts(run.settings)  # what follows takes longer, and decides nothing
    joint, report = watch_joint(run), render_drift_report(run)
    found: dict[str, Any] = {
        "drift": drift.reason if drift is not None else "no champion yet",
        "performance": performance.reason if performance is not None else "no champion yet",
        "joint": joint.reason if joint is not None else "not due",
        "estimate": estimate.reason if estimate is not None else "no champion yet",
        "report": report,
        **counted(drift),
    }
    if stages is not None:
        found["rollout"] = stages
    if performance is not None and performance.value is not None:
        found["live_performance"] = f"{performance.metric} {performance.value:.3f}"
    if api.n_requests:
        found["api"] = f"{api.n_errors} of {api.n_requests} requests were answered with an error"
    leave_overview(run)
    return found


def counted(drift: DriftResult | None) -> dict[str, str]:
    """How many features drifted, in words; nothing where none could be tested."""
    testable = [f for f in drift.features if f.not_testable is None] if drift is not None else []
    if not testable:
        return {}
    return {"features_drifted": f"{sum(f.is_drifted for f in testable)} of {len(testable)}"}
