"""What the tests of the decision to retrain ask, and from which states."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta
from typing import Any

from learning.decision import Decision, RetrainEvidence, RetrainState, decide_retrain
from learning.decision_windows import Window
from learning.problem import Problem

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
PROBLEM = Problem.model_validate({"target": "y"})  # min_new_rows 200, cooldown 1h, budget 6
CALM = RetrainEvidence(
    n_labelled=5_000, n_new=1_000, n_unused=1_000,
    drift_reason="drift_share 0.00", performance_reason="roc_auc 0.900",
)  # fmt: skip
TWICE = (Window(0, True), Window(100, True))
DRIFTED = dataclasses.replace(
    CALM, is_drifted=True, drift_reason="drift_share 0.42 > 0.10", looks={"drift": TWICE}
)
LOW = dataclasses.replace(
    CALM,
    is_below_floor=True,
    is_measured=True,
    performance_reason="roc_auc 0.6 < 0.8",
    looks={"performance": TWICE},
)
ESTIMATED = dataclasses.replace(
    CALM,
    is_estimated_below=True,
    estimate_reason="roc_auc estimated at 0.6 < 0.8",
    looks={"estimate": TWICE},
)
STATE = RetrainState(
    has_champion=True,
    champion_clock=NOW - timedelta(days=2),
    last_attempt=NOW - timedelta(days=2),
)
NONE_YET = RetrainState(has_champion=False)
HOUR_AGO = NOW - timedelta(hours=1)


def ask(
    evidence: RetrainEvidence,
    state: RetrainState = STATE,
    policy: dict[str, Any] | None = None,
    now: datetime = NOW,
    manual: str | None = None,
) -> Decision:
    problem = Problem.model_validate({"target": "y", "retrain": policy or {}})
    return decide_retrain(evidence, problem, state, now, manual)


def with_state(**changes: Any) -> RetrainState:
    return dataclasses.replace(STATE, **changes)


def with_evidence(evidence: RetrainEvidence, **changes: Any) -> RetrainEvidence:
    return dataclasses.replace(evidence, **changes)
