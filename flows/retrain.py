"""Retrain: train a challenger, let the gate judge it, roll it out if it passed."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from flows.each import for_each
from flows.loop_flow import loop_flow
from flows.parameters import ProblemName, Reason
from learning.decision import Decision
from learning.gate import Verdict
from tasks.archive import judge_archive
from tasks.decide import decide
from tasks.gate import judge_again, judge_candidate
from tasks.overview import leave_overview
from tasks.record import record_versions
from tasks.rollout import roll_out
from tasks.run import Run
from tasks.training import train_candidate


@loop_flow("retrain", timeout_minutes=120)
def retrain(
    problem: ProblemName = None, reason: Reason = "by hand", now: datetime | None = None
) -> dict[str, Any]:
    """Train a challenger because a person asks for it; the gate still decides.

    Args:
        problem: one problem, by its name; empty: each active one (PERENNIAL_ACTIVE)
        reason: why, in a sentence; it stands in the ledger beside the gate's verdict
        now: leave it empty; the time that the run takes for the present, in a replay
    """

    def body(run: Run) -> dict[str, Any]:
        result = challenge(run, decide(run, None, None, manual_reason=reason))
        record_versions(run)
        leave_overview(run)
        return result

    return for_each("retrain", problem, now, body)


def challenge(run: Run, decision: Decision) -> dict[str, Any]:
    """Train, judge and, if the gate says so, roll out; says what came of it.

    Unless a person asked for training, a former champion may win first.
    """
    returned = None if decision.trigger == "manual" else judge_archive(run)
    if returned is not None:
        version, verdict = returned
        return {"version": version, "returned": True, **_outcome(run, version, verdict)}
    trained = train_candidate(run, decision)
    if trained is None:
        return {"outcome": "refused", "reason": "these rows cannot train a model"}
    result: dict[str, Any] = {"version": trained.version, "seconds": round(trained.seconds, 2)}
    verdict = judge_candidate(run, trained.version)
    return {**result, **_outcome(run, trained.version, verdict)}


def challenge_again(run: Run) -> dict[str, Any] | None:
    """Judge the challenger that waits for evidence; None where there is none, or no more rows."""
    again = judge_again(run)
    if again is None:
        return None
    version, verdict = again
    return {"version": version, **_outcome(run, version, verdict)}


def _outcome(run: Run, version: int, verdict: Verdict) -> dict[str, Any]:
    if verdict.outcome == "promote":
        released = roll_out(run, version, verdict)
        return {"outcome": released.state, "reason": released.reason}
    word = "refused" if verdict.outcome == "refuse" else "inconclusive"
    return {"outcome": word, "reason": verdict.decision.reason}
