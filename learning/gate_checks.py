"""The gate's checks: each a number, its bound and an outcome."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from learning.gate_rules import GateRules
from learning.metrics import LOWER_IS_BETTER, all_metrics, gain
from learning.onnx_export import Parity
from learning.paired import Estimate, Pair, as_margin
from learning.problem import Task
from learning.rows import Floats

Outcome = Literal["pass", "fail", "unsure", "skip"]
MEGABYTE = 1_000_000


@dataclass(frozen=True)
class Check:
    """One condition of the gate: its outcome, the value found and the value required.

    ``unsure`` needs more rows to be said; ``skip`` could not be asked and stands in no way.
    """

    name: str
    outcome: Outcome
    found: float | None
    required: float | None
    text: str

    @property
    def passed(self) -> bool:
        """Whether it does not stand in the way."""
        return self.outcome in ("pass", "skip")


@dataclass(frozen=True)
class Contest:
    """The same judged rows seen by all, in time order: labels [n], outputs [n, classes or 1].

    ``rival`` is the champion's output, or the dummy's when there is no champion. ``is_first``
    says that nothing is served yet, ``is_rival_served`` that the rival is what answers now.
    """

    task: Task
    metric: str
    y: Floats
    challenger: Floats
    rival: Floats
    rival_name: str
    threshold: float = 0.5
    rival_threshold: float = 0.5
    is_first: bool = False
    is_rival_served: bool = False

    @property
    def pair(self) -> Pair:
        """Challenger against rival."""
        sides = self.challenger, self.rival, self.threshold, self.rival_threshold
        return Pair(self.task, self.metric, self.y, *sides)


@dataclass(frozen=True)
class Side:
    """Another model's outputs [n, classes or 1] for the judged rows; NaN where it has none."""

    name: str
    output: Floats
    threshold: float = 0.5


@dataclass(frozen=True)
class Footprint:
    """What a model takes: milliseconds for one row (median), and bytes of its bundle."""

    milliseconds: float
    n_bytes: int


def known(number: float) -> float | None:
    """The number, or None where it is not finite."""
    return float(number) if math.isfinite(number) else None


def enough_rows(contest: Contest, rules: GateRules) -> Iterator[Check]:
    """Rows, and rows of the rarer class; a first champion needs only one of each class."""
    n_rows = len(contest.y)
    text = f"{n_rows} judged rows, required ≥ {rules.min_rows}"
    yield Check(
        "rows", "pass" if n_rows >= rules.min_rows else "unsure", n_rows, rules.min_rows, text
    )
    if contest.task == "regression" or contest.is_first or not n_rows:
        return
    n_classes = contest.challenger.shape[1]
    counts = np.bincount(contest.y.astype(np.intp), minlength=n_classes)
    rarest = int(counts.min() if contest.task == "binary" else counts[counts > 0].min())
    needed = rules.min_positives if contest.task == "binary" else 1
    text = f"{rarest} judged rows of the rarer class, required ≥ {needed}"
    yield Check("positives", "pass" if rarest >= needed else "unsure", rarest, needed, text)


def same_graph(parity: Parity) -> Check:
    """Whether the ONNX graph says what the fitted model says."""
    text = (
        f"ONNX differs by {parity.largest_difference:.1e} at most on {parity.n_rows} rows, "
        f"required ≤ {parity.tolerance:g}"
    )
    found = known(parity.largest_difference)
    return Check("parity", "pass" if parity.holds else "fail", found, parity.tolerance, text)


def gain_check(contest: Contest, estimate: Estimate, rules: GateRules, confidence: float) -> Check:
    """Better than the rival beyond chance, or by policy not worse by the margin.

    Unsure as long as the interval holds both the bound and what would be worth having.
    """
    low, high = estimate.interval(confidence)
    if math.isnan(low):
        text = f"{contest.metric} is undefined on the {len(contest.y)} judged rows"
        if contest.task != "regression" and len(np.unique(contest.y)) < 2:
            text += ": only one class among them"
        return Check("gain", "unsure", None, rules.min_gain, text)
    found = estimate.value
    text = (
        f"{contest.metric} gain over {contest.rival_name} {found:+.4f} "
        f"[{low:+.4f}, {high:+.4f}] on {len(contest.y)} rows ({estimate.method})"
    )
    if contest.is_first:
        text += ", not beyond chance" if found > 0 >= low else ""
        return Check("gain", "pass" if found > 0 else "fail", found, 0.0, text)
    margin = margin_of(contest, rules)
    required = rules.min_gain if rules.accept == "better" else -margin
    if low > required:
        return Check("gain", "pass", low, required, text)
    worth = max(required, rules.min_gain + margin) if rules.accept == "better" else required
    if high < worth:
        return Check("gain", "fail", low, required, f"{text}, less than {worth:+.4f}")
    return Check("gain", "unsure", low, required, f"{text}, which may be chance")


def margin_of(contest: Contest, rules: GateRules) -> float:
    """The smallest difference of the metric that matters."""
    return as_margin(contest.metric, rules.margin, rules.error_margin, contest.pair.old_value())


def floor_checks(contest: Contest, floors: Mapping[str, float]) -> Iterator[Check]:
    """Each floor, or the served champion's own value where that is under the floor as well.

    Refusing then would not keep the worse model out: it is what answers.
    """
    found_by = all_metrics(contest.task, contest.y, contest.challenger, contest.threshold)
    served = all_metrics(contest.task, contest.y, contest.rival, contest.rival_threshold)
    for name, floor in floors.items():
        found, rival = found_by.get(name, math.nan), served.get(name, math.nan)
        sign, required = "≤" if name in LOWER_IS_BETTER else "≥", floor
        text = f"{name} {found:.3f}, required {sign} {floor:g}"
        if contest.is_rival_served and gain(name, rival, floor) < 0:
            required = rival
            text += f", or {rival:.3f} as long as {contest.rival_name} is no better"
        if name not in found_by:
            text = f"{name} is no metric of this task; expected one of {', '.join(found_by)}"
        holds = gain(name, found, required) >= 0
        yield Check(f"floor {name}", "pass" if holds else "fail", known(found), required, text)


def baseline_checks(contest: Contest, baselines: Sequence[Side]) -> Iterator[Check]:
    """Better than what costs nothing, or at least than a served champion that is not.

    Of a first champion it is told only: the alternative is no answer at all.
    """
    for side in baselines:
        rows = np.asarray(~np.isnan(side.output).any(axis=1))
        if not rows.any() or contest.rival_name == side.name:
            continue
        pair = replace(contest.pair, old=side.output, old_threshold=side.threshold).part(rows)
        found, name = pair.gain(), f"beats {side.name}"
        if math.isnan(found):
            yield Check(name, "skip", None, 0.0, f"{contest.metric} of {side.name} is undefined")
            continue
        text = f"{contest.metric} {found:+.4f} over {side.name} on {rows.sum()} rows, required > 0"
        served = replace(
            pair, new=contest.rival[rows], new_threshold=contest.rival_threshold
        ).gain()
        is_excused = contest.is_rival_served and served <= 0 and found >= served
        if is_excused and found <= 0:
            text += f"; excused, since {contest.rival_name} has {served:+.4f}"
        holds = found > 0 or is_excused or contest.is_first
        yield Check(name, "pass" if holds else "fail", found, 0.0, text)


def footprint_checks(
    new: Footprint | None, old: Footprint | None, rules: GateRules
) -> Iterator[Check]:
    """Time for a row and size of the bundle, against the champion's."""
    if new is None or old is None:
        return
    allowed = max(rules.free_milliseconds, rules.max_slowdown * old.milliseconds)
    text = f"{new.milliseconds:.3f} ms for a row, champion {old.milliseconds:.3f}, allowed "
    holds = new.milliseconds <= allowed
    yield Check(
        "latency", "pass" if holds else "fail", new.milliseconds, allowed, f"{text}{allowed:.3f}"
    )
    size, former = new.n_bytes / MEGABYTE, old.n_bytes / MEGABYTE
    allowed = max(rules.free_megabytes, rules.max_growth * former)
    text = f"bundle of {size:.3g} MB, champion {former:.3g}, allowed {allowed:.3g}"
    yield Check("size", "pass" if size <= allowed else "fail", size, allowed, text)
