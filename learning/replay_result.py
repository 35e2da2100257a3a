"""What a replay found: each policy's figures, side by side, and what to do about them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learning.metrics import all_metrics, expected_cost, gain
from learning.problem import Costs, Problem
from learning.replay_curve import (
    CUT_METRICS,
    RANKING_METRICS,
    Point,
    as_judged,
    curve,
    over_models,
)
from learning.replay_drift import Detection, find_detections
from learning.replay_record import Alarm, PolicyState, Return, Trial
from learning.replay_stream import Stream
from learning.rows import Floats


@dataclass(frozen=True)
class Answers:
    """What one policy or yardstick answered over a stream, and what that took.

    ``output`` [n, classes or 1] is NaN where it gave no answer; ``thresholds`` [n] cut the
    probabilities of a binary task.
    """

    name: str
    output: Floats
    thresholds: Floats
    seconds: float
    is_policy: bool
    trials: tuple[Trial, ...] = ()
    alarms: tuple[Alarm, ...] = ()
    returns: tuple[Return, ...] = ()


@dataclass(frozen=True)
class PolicyResult:
    """One policy's figures over the judged rows.

    ``retrains`` and what came of them leave out the first champion; ``returns`` are former
    champions that served again, without a training. ``regret`` is how much better
    the best policy was, in the metric's units: 0 of the best, below 0 of a yardstick that beats
    them all. ``cost`` is None where the task is not binary.
    """

    name: str
    is_policy: bool
    metric: float
    n_rows: int
    metrics: dict[str, float]
    retrains: int
    promotions: int
    refusals: int
    cpu_seconds: float
    rows_per_second: float
    regret: float
    cost: float | None
    alarm_rows: tuple[int, ...]
    detection: Detection | None
    curve: tuple[Point, ...]
    trials: tuple[Trial, ...] = field(default=(), repr=False)
    returns: tuple[Return, ...] = ()

    @property
    def alarms(self) -> int:
        """How many incidents began."""
        return len(self.alarm_rows)


@dataclass(frozen=True)
class Judged:
    """What all are judged on: labels and rows [n] of a stream, by the problem's metric."""

    stream: Stream
    problem: Problem
    metric: str
    rows: NDArray[np.bool_]

    @property
    def task(self) -> Any:
        """The task."""
        return self.stream.schema.task


def answers_of(name: str, state: PolicyState) -> Answers:
    """A policy's answers, from its state at the end."""
    return Answers(
        name,
        state.output,
        state.thresholds,
        state.seconds,
        is_policy=True,
        trials=state.trials,
        alarms=state.alarms,
        returns=state.returns,
    )


def join_segments(parts: Sequence[Answers]) -> Answers:
    """One policy's answers over the whole stream, from those of its segments in order."""
    firsts = np.cumsum([0, *(len(part.output) for part in parts)]).tolist()
    placed = list(zip(firsts, parts, strict=False))
    return replace(
        parts[0],
        output=np.concatenate([part.output for part in parts]),
        thresholds=np.concatenate([part.thresholds for part in parts]),
        seconds=sum(part.seconds for part in parts),
        trials=tuple(
            replace(one, position=one.position + first)
            for first, part in placed
            for one in part.trials
        ),
        alarms=tuple(
            replace(one, position=one.position + first)
            for first, part in placed
            for one in part.alarms
        ),
        returns=tuple(
            replace(one, position=one.position + first)
            for first, part in placed
            for one in part.returns
        ),
    )


def judged_rows(stream: Stream, answers: Sequence[Answers]) -> NDArray[np.bool_]:
    """Rows [n] that count: those with a label to which every policy had an answer."""
    rows = ~np.isnan(stream.rows.y)
    for one in answers:
        if one.is_policy:
            rows &= ~np.isnan(one.output[:, 0])
    return np.asarray(rows)


def score_rows(judged: Judged, answers: Answers, rows: NDArray[np.bool_]) -> float:
    """The metric over some of the rows [n], those without answer left out; nan where undefined."""
    rows = rows & ~np.isnan(answers.output).any(axis=1)
    if not rows.any():
        return math.nan
    output = as_judged(judged.metric, answers.output[rows], answers.thresholds[rows])
    return over_models(judged.task, judged.metric, judged.stream.rows.y[rows], output)


def judge_answers(judged: Judged, answers: Sequence[Answers]) -> tuple[PolicyResult, ...]:
    """Every policy's and yardstick's figures, in the order in which they are given."""
    values = {one.name: score_rows(judged, one, judged.rows) for one in answers}
    best = best_policy(judged.metric, {a.name: values[a.name] for a in answers if a.is_policy})
    top = math.nan if best is None else values[best]
    return tuple(_judge(judged, one, values[one.name], top) for one in answers)


def best_policy(metric: str, values: Mapping[str, float]) -> str | None:
    """The name with the best value; None where no value is known."""
    known = {name: value for name, value in values.items() if not math.isnan(value)}
    return max(known, key=lambda name: gain(metric, known[name], 0.0)) if known else None


def _judge(judged: Judged, one: Answers, value: float, top: float) -> PolicyResult:
    rows = judged.rows & ~np.isnan(one.output).any(axis=1)
    again = [trial for trial in one.trials if trial.attempt.trigger != "bootstrap"]
    promoted = sum(trial.attempt.state == "promoted" for trial in again)
    n_replayed = len(one.output) if one.is_policy else int((~np.isnan(one.output[:, 0])).sum())
    return PolicyResult(
        name=one.name,
        is_policy=one.is_policy,
        metric=value,
        n_rows=int(rows.sum()),
        metrics=_metrics(judged, one, rows),
        retrains=len(again),
        promotions=promoted,
        refusals=len(again) - promoted,
        cpu_seconds=one.seconds,
        rows_per_second=n_replayed / one.seconds if one.seconds > 0 else math.inf,
        regret=gain(judged.metric, top, value),
        cost=_cost(judged, one, rows, len(again)),
        alarm_rows=tuple(alarm.position for alarm in one.alarms),
        detection=_detection(judged, one),
        curve=curve(judged.task, judged.metric, judged.stream, one.output, one.thresholds, rows),
        trials=one.trials,
        returns=one.returns,
    )


def _detection(judged: Judged, one: Answers) -> Detection | None:
    if not one.is_policy:
        return None
    place = np.arange(len(judged.stream))

    def over(first: int, end: int) -> float:
        return score_rows(judged, one, judged.rows & (place >= first) & (place < end))

    positions = [alarm.position for alarm in one.alarms]
    return find_detections(judged.stream, positions, over, judged.problem)


def _metrics(judged: Judged, one: Answers, rows: NDArray[np.bool_]) -> dict[str, float]:
    if not rows.any():
        return {}
    y, output = judged.stream.rows.y[rows], one.output[rows]
    found = all_metrics(judged.task, y, output)
    for name in sorted((CUT_METRICS | RANKING_METRICS) & set(found)):
        said = as_judged(name, output, one.thresholds[rows])
        found[name] = over_models(judged.task, name, y, said)
    return found


def _cost(judged: Judged, one: Answers, rows: NDArray[np.bool_], retrains: int) -> float | None:
    """Errors, trainings and alarms, in the problem file's units."""
    costs: Costs = judged.problem.costs
    if judged.task != "binary" or not rows.any():
        return None
    said = one.output[rows, 1] >= one.thresholds[rows]
    errors = expected_cost(judged.stream.rows.y[rows], said, costs) * int(rows.sum())
    return errors + costs.retrain * retrains + costs.alarm * len(one.alarms)
