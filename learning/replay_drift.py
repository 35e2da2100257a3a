"""Alarms against what is known: was drift found, how soon, and when was the loss made good?"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from learning.metrics import LOWER_IS_BETTER
from learning.performance import chosen_metric
from learning.problem import Problem
from learning.replay_stream import Stream

N_STEPS = 4


@dataclass(frozen=True)
class Change:
    """A drift that is known to begin at ``row``.

    ``delay_rows`` is how many rows later the first alarm came, None where none came before the
    next change; ``recovery_rows`` how many rows later the metric was back, 0 where it never left,
    None where it did not come back.
    """

    row: int
    delay_rows: int | None
    recovery_rows: int | None


@dataclass(frozen=True)
class Detection:
    """Alarms before any drift began, and what became of each drift."""

    false_alarms: int
    changes: tuple[Change, ...]


def find_detections(
    stream: Stream,
    alarms: Sequence[int],
    score_over: Callable[[int, int], float],
    problem: Problem,
) -> Detection | None:
    """Alarms at positions against the drift that is known of; None where nothing is known.

    ``score_over`` gives the metric over rows from the first to the second number. The metric is
    back when over a window it is within ``max_drop`` (of errors ``max_rise``) of what it was over
    the window before the change.
    """
    if stream.drift_rows is None:
        return None
    begins = sorted(stream.drift_rows)
    if not begins:
        return Detection(len(alarms), ())
    ends = [*begins[1:], len(stream)]
    changes = tuple(
        Change(row, _delay(alarms, row, end), _recovery(row, end, score_over, problem, stream))
        for row, end in zip(begins, ends, strict=True)
    )
    return Detection(sum(alarm <= begins[0] for alarm in alarms), changes)


def _delay(alarms: Sequence[int], row: int, end: int) -> int | None:
    return next((alarm - row for alarm in alarms if row < alarm <= end), None)


def _recovery(
    row: int, end: int, score_over: Callable[[int, int], float], problem: Problem, stream: Stream
) -> int | None:
    window = min(problem.performance.window_rows, max(1, (end - row) // 2))
    before = score_over(max(0, row - window), row)
    if math.isnan(before):
        return None
    metric = chosen_metric(stream.schema.task, problem.performance)
    for after in range(row, end - window + 1, max(1, window // N_STEPS)):
        if _is_back(metric, score_over(after, after + window), before, problem):
            return after + window - row if after > row else 0
    return None


def _is_back(metric: str, value: float, before: float, problem: Problem) -> bool:
    rules = problem.performance
    if metric in LOWER_IS_BETTER:
        return value <= before * (1 + rules.max_rise)
    return value >= before - rules.max_drop
