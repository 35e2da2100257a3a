"""May the challenger take over? Checks with numbers, and one verdict."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from learning.decision import Decision
from learning.metrics import LOWER_IS_BETTER, all_metrics, bootstrap, gain, metric_function
from learning.onnx_export import Parity
from learning.problem import GateRules, Task
from learning.rows import Floats


@dataclass(frozen=True)
class Check:
    """One condition of the gate: whether it holds, the value found and the value required."""

    name: str
    passed: bool
    found: float | None
    required: float | None
    text: str


@dataclass(frozen=True)
class Verdict:
    """What the gate says: a decision whose evidence holds every check."""

    decision: Decision
    checks: tuple[Check, ...]
    gain: float | None
    gain_low: float | None
    gain_high: float | None


@dataclass(frozen=True)
class Contest:
    """The same holdout rows seen by all: labels [n] and outputs [n, classes or 1].

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


def judge(contest: Contest, parity: Parity, rules: GateRules, seed: int = 0) -> Verdict:
    """Promote only if the challenger is better beyond chance and every floor holds.

    The gain is the paired difference of the metric on the same rows; its interval is a percentile
    bootstrap over rows, at ``confidence``, whose lower end must exceed ``min_gain``. A first
    champion must be better than the dummy, if not beyond chance: the alternative is no answer at
    all, and nothing better is lost.
    """
    n_rows = len(contest.y)
    enough = Check(
        "rows", n_rows >= rules.min_rows, n_rows, rules.min_rows,
        f"{n_rows} holdout rows, required ≥ {rules.min_rows}",
    )  # fmt: skip
    parity_check = Check(
        "parity", parity.holds, _known(parity.largest_difference), parity.tolerance,
        f"ONNX differs by {parity.largest_difference:.1e} at most on {parity.n_rows} rows, "
        f"required ≤ {parity.tolerance:g}",
    )  # fmt: skip
    if not n_rows:
        return _verdict((enough, parity_check), contest, (math.nan,) * 3)
    numbers = paired_gain(contest, rules.confidence, seed)
    checks = (enough, parity_check, _gain_check(contest, numbers, rules))
    floors = _floor_checks(contest, rules.floors)
    return _verdict((*checks, *floors), contest, numbers)


def paired_gain(contest: Contest, confidence: float, seed: int = 0) -> tuple[float, float, float]:
    """Gain of the challenger over its rival and its interval; nan where the metric is undefined."""
    new = metric_function(contest.task, contest.metric, contest.threshold)
    old = metric_function(contest.task, contest.metric, contest.rival_threshold)

    def of_rows(index: NDArray[np.intp]) -> float:
        y = contest.y[index]
        return gain(contest.metric, new(y, contest.challenger[index]), old(y, contest.rival[index]))

    low, high = bootstrap(of_rows, len(contest.y), confidence, seed, n_resamples=500)
    return of_rows(np.arange(len(contest.y))), low, high


def _gain_check(contest: Contest, numbers: tuple[float, float, float], rules: GateRules) -> Check:
    found, low, high = numbers
    if math.isnan(low):
        text = f"{contest.metric} is undefined on the {len(contest.y)} rows of the holdout"
        if len(np.unique(contest.y)) < 2:
            text += ": only one class in it"
        return Check("gain", False, None, rules.min_gain, text)
    text = (
        f"{contest.metric} gain over {contest.rival_name} {found:+.4f} "
        f"[{low:+.4f}, {high:+.4f}] on {len(contest.y)} rows"
    )
    if contest.is_first:
        if found > 0 >= low:
            text += ", not beyond chance"
        return Check("gain", found > 0, found, 0.0, text)
    return Check("gain", low > rules.min_gain, low, rules.min_gain, text)


def _floor_checks(contest: Contest, floors: Mapping[str, float]) -> list[Check]:
    """Each floor, or the served champion's own value where that is under the floor as well.

    Refusing then would not keep the worse model out: it is what answers.
    """
    found_by = all_metrics(contest.task, contest.y, contest.challenger, contest.threshold)
    served = all_metrics(contest.task, contest.y, contest.rival, contest.rival_threshold)
    checks = []
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
        checks.append(Check(f"floor {name}", holds, _known(found), required, text))
    return checks


def _verdict(
    checks: tuple[Check, ...], contest: Contest, numbers: tuple[float, float, float]
) -> Verdict:
    failed = [check for check in checks if not check.passed]
    gain_text = next((check.text for check in checks if check.name == "gain"), checks[0].text)
    if failed:
        reason = "refused: " + "; ".join(check.text for check in failed)
    else:
        reason = f"better than {contest.rival_name}: {gain_text}"
    evidence = {"checks": [vars(check) for check in checks], "metric": contest.metric}
    found, low, high = (_known(number) for number in numbers)
    return Verdict(Decision(not failed, reason, evidence), checks, found, low, high)


def _known(number: float) -> float | None:
    return number if math.isfinite(number) else None
