"""May the challenger take over? Checks with numbers, and one verdict."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from learning import gate_beside, gate_checks
from learning.decision import Decision
from learning.gate_checks import Check, Contest, Footprint, Side, known
from learning.gate_rules import GateRules
from learning.onnx_export import Parity
from learning.paired import Estimate, estimate_gain, significance_of

__all__ = ["Beside", "Check", "Contest", "Footprint", "Side", "Verdict", "judge"]

Outcome = Literal["promote", "refuse", "inconclusive"]


@dataclass(frozen=True)
class Beside:
    """What is asked beside the gain; what is left out is not asked.

    ``older`` are rows of earlier times that neither model was trained on, ``slices`` names and
    rows [n] of the judged ones, ``senders`` likewise whose labels they bear, ``anchor`` the model
    that small steps are measured from. ``notes`` are checks that were made before the gate, such
    as leaks.
    """

    older: Contest | None = None
    slices: tuple[tuple[str, NDArray[np.bool_]], ...] = ()
    senders: tuple[tuple[str, NDArray[np.bool_]], ...] = ()
    baselines: tuple[Side, ...] = ()
    anchor: Side | None = None
    footprint: Footprint | None = None
    rival_footprint: Footprint | None = None
    notes: tuple[Check, ...] = ()


@dataclass(frozen=True)
class Verdict:
    """What the gate says: a decision whose evidence holds every check.

    ``inconclusive`` is neither yes nor no: the challenger is judged again on more rows.
    """

    decision: Decision
    outcome: Outcome
    checks: tuple[Check, ...]
    gain: float | None
    gain_low: float | None
    gain_high: float | None
    confidence: float

    def check(self, name: str) -> Check | None:
        """The check of that name, if it was made."""
        return next((check for check in self.checks if check.name == name), None)


def judge(
    contest: Contest,
    parity: Parity,
    rules: GateRules,
    beside: Beside | None = None,
    look: int = 1,
    is_last: bool = False,
    seed: int = 0,
) -> Verdict:
    """Promote only if the challenger is better beyond chance and every other check holds.

    The gain is the paired difference of the metric on the same rows. ``confidence`` is that of all
    looks together: look k spends the share 1/2^k of the error. A first champion must be better
    than the dummy, if not beyond chance: the alternative is no answer at all, and nothing better
    is lost. ``is_last``: what is unsure now is refused.
    """
    confidence = 1 - (1 - rules.confidence) * significance_of(look)
    estimate = Estimate(math.nan, math.nan, 0, "")
    if len(contest.y):
        estimate = estimate_gain(contest.pair, rules.block_rows, seed)
    found = tuple(_checks(contest, parity, rules, beside or Beside(), estimate, confidence))
    low, high = estimate.interval(confidence)
    outcome = _outcome(found, is_last)
    reason = _reason(found, outcome, contest)
    evidence = {
        "checks": [{**asdict(check), "passed": check.passed} for check in found],
        "metric": contest.metric,
        "outcome": outcome,
        "look": look,
        "n_rows": len(contest.y),
        "method": estimate.method,
    }
    numbers = known(estimate.value), known(low), known(high)
    decision = Decision(outcome == "promote", reason, evidence)
    return Verdict(decision, outcome, found, *numbers, confidence)


def _checks(
    contest: Contest,
    parity: Parity,
    rules: GateRules,
    beside: Beside,
    estimate: Estimate,
    confidence: float,
) -> Iterator[Check]:
    yield from gate_checks.enough_rows(contest, rules)
    yield gate_checks.same_graph(parity)
    yield from beside.notes
    if not len(contest.y):
        return
    yield gate_checks.gain_check(contest, estimate, rules, confidence)
    yield from gate_checks.floor_checks(contest, rules.floors)
    yield from gate_checks.baseline_checks(contest, beside.baselines)
    if not contest.is_first:
        yield from gate_beside.slice_checks(contest, beside.slices, rules, confidence)
        yield from gate_beside.sender_checks(contest, beside.senders, rules, confidence)
    asked = (
        gate_beside.anchor_check(contest, beside.anchor, rules, confidence),
        gate_beside.calibration_check(contest, rules, confidence),
        gate_beside.backtest_check(beside.older, contest, rules, confidence),
    )
    yield from (check for check in asked if check is not None)
    yield from gate_checks.footprint_checks(beside.footprint, beside.rival_footprint, rules)


def _outcome(checks: tuple[Check, ...], is_last: bool) -> Outcome:
    found = {check.outcome for check in checks}
    if "fail" in found or ("unsure" in found and is_last):
        return "refuse"
    return "inconclusive" if "unsure" in found else "promote"


def _reason(checks: tuple[Check, ...], outcome: Outcome, contest: Contest) -> str:
    gain_text = next((check.text for check in checks if check.name == "gain"), checks[0].text)
    if outcome == "promote":
        is_better = next(check.required or 0.0 for check in checks if check.name == "gain") >= 0
        word = "better than" if is_better else "not worse than"
        return f"{word} {contest.rival_name}: {gain_text}"
    failed = [check for check in checks if check.outcome == "fail"]
    unsure = [check for check in checks if check.outcome == "unsure"]
    if failed:
        return "refused: " + "; ".join(check.text for check in failed)
    told = "; ".join(check.text for check in unsure)
    if outcome == "refuse":
        return f"refused: no proof in the time it had: {told}"
    return f"inconclusive, judged again on more rows: {told}"
