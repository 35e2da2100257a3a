"""Does a stage of a rollout pass, fail or go on? Shadow, canary and probation, with numbers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any, Literal

import numpy as np
from scipy import stats

from learning.phrases import figure, percent
from learning.problem import Task
from learning.rollout_rules import RolloutRules
from learning.rows import Floats
from learning.spans import Span

Stage = Literal["shadow", "canary", "probation"]
Outcome = Literal["passed", "failed", "going_on"]
# Making a prediction durable takes about as long: below it nobody notices which model answers.
NOTICED_MILLISECONDS = 0.1


@dataclass(frozen=True)
class Look:
    """The gain of the new version over the other on the same labelled rows, and its interval.

    None where the metric is undefined. Of probation the new version is the one that is served.
    """

    metric: str
    n_rows: int
    gain: float | None
    low: float | None
    high: float | None
    confidence: float

    @property
    def is_worse(self) -> bool:
        """Whether the new version is worse beyond chance."""
        return self.high is not None and self.high < 0

    def __str__(self) -> str:
        return (
            f"{self.metric} gain {figure(self.gain, self.low, self.high)} "
            f"({100 * self.confidence:.4g}%) on {self.n_rows} labelled rows"
        )


@dataclass(frozen=True)
class Latency:
    """Median milliseconds that one row takes with either version, on this machine."""

    new: float
    old: float

    @property
    def is_noticed(self) -> bool:
        """Whether the new version takes long enough for anybody to notice."""
        return self.new > NOTICED_MILLISECONDS

    @property
    def ratio(self) -> float:
        """How many times as long the new version takes."""
        return self.new / self.old if self.old > 0 else 0.0


@dataclass(frozen=True)
class Seen:
    """What a stage has seen since it began.

    ``n_rows`` are live rows in the shadow, the canary's own answers, labelled rows in probation.
    ``shift`` is the distance of the scores' distributions; ``trouble`` what servers or scoring say
    against the new version, in words. ``look`` is the newest comparison.
    """

    n_rows: int
    elapsed: timedelta
    shift: float | None = None
    agreement: float | None = None
    latency: Latency | None = None
    look: Look | None = None
    trouble: str | None = None


@dataclass(frozen=True)
class StageVerdict:
    """Whether a stage passed, failed or goes on, why, and the numbers it rests on."""

    outcome: Outcome
    reason: str
    numbers: dict[str, Any]


def stages_of(rules: RolloutRules) -> tuple[Stage, ...]:
    """The stages before a promotion, in order."""
    asked: tuple[tuple[Stage, Span | None], ...] = (
        ("shadow", rules.shadow),
        ("canary", rules.canary),
    )
    return tuple(stage for stage, length in asked if length is not None)


def judge_stage(stage: Stage, seen: Seen, rules: RolloutRules) -> StageVerdict:
    """Fail on the first harm, pass when enough was seen without any, else go on.

    A stage before the promotion that sees too little for `patience` fails: nothing was shown. A
    probation then ends: nothing was shown against the version.
    """
    numbers = {**asdict(seen), "elapsed": seen.elapsed.total_seconds()}
    harm = next(_harms(seen, rules), None)
    if harm is not None:
        return StageVerdict("failed", f"{stage} failed: {harm}", numbers)
    told = f"{_progress(stage, seen, rules)}{_beside(seen)}"
    if is_complete(stage, seen.n_rows, seen.elapsed, rules):
        return StageVerdict("passed", f"{stage} passed: {told}", numbers)
    if rules.patience.time is not None and seen.elapsed >= rules.patience.time:
        why = f"too little was seen in {rules.patience}: {told}"
        if stage == "probation":
            return StageVerdict("passed", f"probation ended: {why}", numbers)
        return StageVerdict("failed", f"{stage} failed: {why}", numbers)
    return StageVerdict("going_on", f"{stage}: {told}", numbers)


def is_complete(stage: Stage, n_rows: int, elapsed: timedelta, rules: RolloutRules) -> bool:
    """Whether a stage has seen as much as the policy asks for."""
    length = length_of(stage, rules)
    if length is None:
        return True
    if length.rows is not None:
        return n_rows >= length.rows
    is_over = elapsed >= (length.time or timedelta(0))
    return is_over and (stage == "probation" or n_rows >= rules.min_rows)


def length_of(stage: Stage, rules: RolloutRules) -> Span | None:
    """What the policy says of a stage."""
    return {"shadow": rules.shadow, "canary": rules.canary, "probation": rules.probation}[stage]


def is_look_due(n_labelled: int, n_looks: int, n_looked: int, is_last: bool, min_rows: int) -> bool:
    """Whether to compare now: on `min_rows`, each time they have doubled, and at the end.

    ``n_looked`` are the rows of the look before. Few looks keep the interval narrow.
    """
    if n_labelled < min_rows or n_labelled <= n_looked:
        return False
    return is_last or n_labelled >= min_rows * 2**n_looks


def confidence_of(look: int, confidence: float) -> float:
    """Confidence of look ``look`` (1, 2, …): look k spends the share 1/2^k of the error.

    So the chance that any of them errs keeps to 1 − ``confidence`` (Bonferroni).
    """
    return float(1 - (1 - confidence) * 0.5**look)


def score_shift(task: Task, new: Floats, old: Floats) -> float:
    """How far apart the scores of the same rows are distributed, from 0 to 1.

    Outputs are [n, classes or 1]. The Kolmogorov–Smirnov statistic of the positive class's
    probability or of the value; for more classes half the sum of the differences of their mean
    probabilities (total variation).
    """
    if task == "multiclass":
        return float(np.abs(new.mean(axis=0) - old.mean(axis=0)).sum() / 2)
    return float(stats.ks_2samp(new[:, -1], old[:, -1]).statistic)


def agreement(
    task: Task, new: Floats, old: Floats, threshold: float, old_threshold: float
) -> float | None:
    """Share of rows that both versions decide alike; None for numbers."""
    if task == "regression":
        return None
    if task == "multiclass":
        return float((new.argmax(axis=1) == old.argmax(axis=1)).mean())
    return float(((new[:, 1] >= threshold) == (old[:, 1] >= old_threshold)).mean())


def _harms(seen: Seen, rules: RolloutRules) -> Iterator[str]:
    if seen.trouble is not None:
        yield seen.trouble
    if seen.look is not None and seen.look.is_worse:
        yield f"it is worse beyond chance: {seen.look}"
    latency = seen.latency
    if latency is not None and latency.is_noticed and latency.ratio > rules.max_latency:
        yield (
            f"one row takes {latency.new:.2f} ms, {latency.ratio:.1f} times as long as with the "
            f"champion; allowed {rules.max_latency:g}"
        )
    if seen.shift is not None and rules.max_shift is not None and seen.shift > rules.max_shift:
        yield (
            f"its scores are distributed otherwise by {seen.shift:.3f}; allowed {rules.max_shift:g}"
        )


def _progress(stage: Stage, seen: Seen, rules: RolloutRules) -> str:
    length = length_of(stage, rules)
    what = {
        "shadow": "live rows scored",
        "canary": "answers given",
        "probation": "labelled rows compared",
    }[stage]
    if length is None or length.rows is None:
        passed = Span(time=timedelta(seconds=round(seen.elapsed.total_seconds())))
        return f"{seen.n_rows} {what} in {passed}" + ("" if length is None else f" of {length}")
    return f"{seen.n_rows} of {length.rows} {what}"


def _beside(seen: Seen) -> str:
    parts = []
    if seen.look is not None:
        parts.append(str(seen.look))
    if seen.shift is not None:
        parts.append(f"scores shifted by {seen.shift:.3f}")
    if seen.agreement is not None:
        parts.append(f"{percent(seen.agreement)} decided alike")
    if seen.latency is not None:
        parts.append(f"one row takes {seen.latency.new:.2f} ms, before {seen.latency.old:.2f} ms")
    return "".join(f"; {part}" for part in parts)
