"""What the gate asks beside the gain: slices, what was forgotten, the anchor, calibration."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from learning.counted import counted
from learning.gate_checks import Check, Contest, Outcome, Side, known, margin_of
from learning.gate_rules import GateRules
from learning.metrics import gain, metric_function
from learning.paired import Estimate, as_margin, estimate_gain
from learning.resampling import bootstrap_error

# Of the judged rows: who sent fewer labels cannot have turned the verdict by itself.
SENDER_SHARE = 0.1


def slice_checks(
    contest: Contest,
    slices: Sequence[tuple[str, NDArray[np.bool_]]],
    rules: GateRules,
    confidence: float,
) -> Iterator[Check]:
    """No slice worse beyond chance and by more than the margin.

    The error of all slices together keeps to ``confidence`` (Bonferroni).
    """
    asked = [(name, rows) for name, rows in slices if rows.sum() >= rules.slice_rows]
    for name, rows in asked:
        pair = contest.pair.part(rows)
        estimate = estimate_gain(pair, rules.block_rows)
        low, high = estimate.interval(1 - (1 - confidence) / len(asked))
        margin = as_margin(pair.metric, rules.margin, rules.error_margin, pair.old_value())
        if math.isnan(low):
            yield Check(f"slice {name}", "skip", None, -margin, f"{name}: {pair.metric} undefined")
            continue
        is_worse = high < 0 and estimate.value < -margin
        text = (
            f"where {name}: gain {estimate.value:+.4f} [{low:+.4f}, {high:+.4f}] on "
            f"{rows.sum()} rows"
        )
        yield Check(f"slice {name}", "fail" if is_worse else "pass", estimate.value, -margin, text)


def sender_checks(
    contest: Contest,
    senders: Sequence[tuple[str, NDArray[np.bool_]]],
    rules: GateRules,
    confidence: float,
) -> Iterator[Check]:
    """Nobody decides alone: without the labels of any one sender the gain is still one.

    Asked of each who sent a tenth of the judged labels or more; where one sends all of them there
    is nobody to hold it against.
    """
    n_rows = len(contest.y)
    large = [(name, rows) for name, rows in senders if rows.sum() >= SENDER_SHARE * n_rows]
    for name, rows in large:
        rest, label = ~rows, f"without {name}"
        if len(senders) < 2 or contest.is_first:
            continue
        required = rules.min_gain if rules.accept == "better" else -margin_of(contest, rules)
        text = f"{rest.sum()} judged rows are left without {name}, required ≥ {rules.min_rows}"
        if rest.sum() < rules.min_rows:
            yield Check(label, "unsure", None, required, text)
            continue
        estimate = estimate_gain(contest.pair.part(rest), rules.block_rows)
        low, high = estimate.interval(confidence)
        text = (
            f"gain without the {rows.sum()} labels of {name} {estimate.value:+.4f} "
            f"[{low:+.4f}, {high:+.4f}] on {rest.sum()} rows"
        )
        outcome: Outcome = "fail" if high < required else "unsure"
        if estimate.value > required:
            outcome = "pass"
        yield Check(label, outcome, known(estimate.value), required, text)


def backtest_check(
    older: Contest | None, newest: Contest, rules: GateRules, confidence: float
) -> Check | None:
    """What the challenger forgot: older rows that neither model was ever trained on.

    Forgetting is excused where the champion itself is worse on the newest rows than on these,
    beyond chance and the margin: then the world changed, and older rows are no measure of it.
    """
    if older is None or len(older.y) < rules.min_rows or older.is_first:
        return None
    estimate = estimate_gain(older.pair, rules.block_rows)
    low, high = estimate.interval(confidence)
    margin = margin_of(older, rules)
    if math.isnan(low):
        return Check("backtest", "skip", None, -margin, f"{older.metric} undefined on older rows")
    text = (
        f"{older.metric} gain on {len(older.y)} older rows {estimate.value:+.4f} "
        f"[{low:+.4f}, {high:+.4f}], margin {margin:.4f}"
    )
    if high >= -margin:
        return Check("backtest", "pass", high, -margin, text)
    lost, is_sure = _lost_by_rival(older, newest, confidence, margin)
    if is_sure:
        text += f"; excused, since {older.rival_name} lost {lost:.4f} from those rows to the newest"
    return Check("backtest", "pass" if is_sure else "fail", high, -margin, text)


def _lost_by_rival(
    older: Contest, newest: Contest, confidence: float, margin: float
) -> tuple[float, bool]:
    """How much worse the rival is on the newest rows, and whether beyond chance and margin."""
    values, variance = list[float](), 0.0
    for one in (older, newest):
        function = metric_function(one.task, one.metric, one.rival_threshold)
        values.append(function(one.y, one.rival))
        variance += _rival_error(one) ** 2
    lost = -gain(older.metric, values[1], values[0])
    low, _ = Estimate(lost, math.sqrt(variance), min(len(older.y), len(newest.y)), "").interval(
        confidence
    )
    return lost, low > 0 and lost > margin


def _rival_error(one: Contest) -> float:
    value = counted(one.task, one.metric, one.y, one.rival, one.rival_threshold)
    return bootstrap_error(value, len(one.y), 1)


def anchor_check(
    contest: Contest, anchor: Side | None, rules: GateRules, confidence: float
) -> Check | None:
    """Not worse than the last champion that was better than its own by more than the margin."""
    if anchor is None or contest.is_first:
        return None
    pair = replace(contest.pair, old=anchor.output, old_threshold=anchor.threshold)
    estimate = estimate_gain(pair, rules.block_rows)
    low, high = estimate.interval(confidence)
    margin = as_margin(pair.metric, rules.margin, rules.error_margin, pair.old_value())
    text = (
        f"{contest.metric} gain over the anchor {anchor.name} {estimate.value:+.4f} "
        f"[{low:+.4f}, {high:+.4f}], margin {margin:.4f}"
    )
    if math.isnan(low):
        return Check("anchor", "skip", None, -margin, text)
    outcome: Outcome = "pass" if low > -margin else "fail" if high < -margin else "unsure"
    return Check("anchor", outcome, low, -margin, text)


def calibration_check(contest: Contest, rules: GateRules, confidence: float) -> Check | None:
    """The calibration error does not rise by more than is allowed, beyond chance.

    Unless the Brier score, which counts it in, is better all the same.
    """
    if contest.task == "regression" or contest.is_first:
        return None
    pair = replace(contest.pair, metric="calibration_error")
    required, rise = rules.max_miscalibration, -pair.gain()
    is_worse = rise > required
    if is_worse:
        is_worse = estimate_gain(pair, rules.block_rows).interval(confidence)[1] < 0
    text = f"calibration error rises by {rise:+.4f}, allowed {required:g}"
    if is_worse and (better := replace(pair, metric="brier").gain()) > 0:
        is_worse = False
        text += f"; excused, since the Brier score is better by {better:.4f}"
    return Check("calibration", "fail" if is_worse else "pass", known(rise), required, text)
