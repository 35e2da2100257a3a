"""What the loop did before: its attempts, and what they mean for the next one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import takewhile
from typing import NamedTuple

from learning.decision import RetrainEvidence, RetrainState
from learning.decision_windows import Windows, look
from learning.drift_result import DriftResult
from learning.estimate import EstimateResult
from learning.performance import PerformanceResult
from learning.problem import Problem

N_FORGIVEN = 2
# Neither refused nor served: nothing can be learnt from them about refusals in a row.
UNDECIDED = frozenset({"abandoned", "superseded", "waiting"})


@dataclass(frozen=True)
class Attempt:
    """One training: how it ended, when it was, what asked for it, on how many labelled rows."""

    state: str
    clock: datetime
    trigger: str | None = None
    n_labelled: int = 0
    version: int = 0


@dataclass(frozen=True)
class Counts:
    """How many rows of each kind have come: inputs, labels of answers, answers."""

    n_inputs: int
    n_labels: int
    n_served: int


def counted(attempts: Sequence[Attempt]) -> Sequence[Attempt]:
    """The attempts that use up rows and start the cooldown, newest first.

    What a killed process left behind does not, so that the next run tries again; only after it
    died so twice, since the third death would have the same cause.
    """
    n_dead = len(list(takewhile(lambda attempt: attempt.state == "abandoned", attempts)))
    return attempts[n_dead:] if n_dead <= N_FORGIVEN else attempts


def count_unused(attempts: Sequence[Attempt], n_labelled: int) -> int:
    """How many of the labelled rows came since the last attempt that counts."""
    past = counted(attempts)
    return n_labelled - (past[0].n_labelled if past else 0)


def retrain_state(
    attempts: Sequence[Attempt], has_champion: bool, champion_clock: datetime | None, now: datetime
) -> RetrainState:
    """The state that the decision looks at, from the attempts, newest first."""
    past = counted(attempts)
    waiting = next((one for one in attempts if one.state == "waiting"), None)
    judged = [attempt for attempt in attempts if attempt.state not in UNDECIDED]
    refused = list(takewhile(lambda attempt: attempt.state == "refused", judged))
    day_ago = now - timedelta(days=1)
    return RetrainState(
        has_champion=has_champion,
        champion_clock=champion_clock,
        last_attempt=past[0].clock if past else None,
        attempts_today=sum(day_ago < attempt.clock <= now for attempt in attempts),
        refusals_in_a_row=len(refused),
        refused_triggers=tuple(sorted({one.trigger for one in refused if one.trigger})),
        waiting_version=None if waiting is None else waiting.version,
        waiting_trigger=None if waiting is None else waiting.trigger,
    )


def look_at_signals(
    looks: Mapping[str, Windows],
    counts: Counts,
    problem: Problem,
    drift: DriftResult | None,
    performance: PerformanceResult | None,
    estimate: EstimateResult | None,
) -> dict[str, Windows]:
    """The windows of each signal after what was seen now; a signal without verdict adds none."""
    found = {name: looks.get(name, ()) for name in ("drift", "performance", "estimate")}
    rules = problem.performance
    if drift is not None and drift.drift_share is not None:
        found["drift"] = look(
            found["drift"], counts.n_inputs, drift.is_drifted, problem.drift.min_rows
        )
    if performance is not None and performance.value is not None:
        found["performance"] = look(
            found["performance"], counts.n_labels, performance.is_below_floor, rules.min_rows
        )
    if estimate is not None and estimate.value is not None:
        found["estimate"] = look(
            found["estimate"], counts.n_served, estimate.is_below_floor, rules.min_rows
        )
    return found


class LabelledRows(NamedTuple):
    """Counts of labelled rows: all, those newer than the champion's training, those it learnt."""

    n_labelled: int
    n_new: int
    n_trained: int


def gather_evidence(
    counted: LabelledRows,
    attempts: Sequence[Attempt],
    looks: dict[str, Windows],
    drift: DriftResult | None,
    performance: PerformanceResult | None,
    estimate: EstimateResult | None,
) -> RetrainEvidence:
    """What the decision weighs."""
    return RetrainEvidence(
        n_labelled=counted.n_labelled,
        n_new=counted.n_new,
        n_trained=counted.n_trained,
        n_unused=count_unused(attempts, counted.n_labelled),
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
