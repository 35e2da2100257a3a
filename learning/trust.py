"""Whose labels train a model and whose judge it: echoes, floods, the future, noise."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from learning.gate_rules import TrustRules
from learning.problem import Task
from learning.rows import Floats

Mask = NDArray[np.bool_]

ECHO_ALPHA = 1e-4
ECHO_ROWS = 200
LEAST_ECHO_ROWS = 20
EXACT_SHARE = 0.2


@dataclass(frozen=True)
class Labels:
    """Labelled rows in time order: where each label came from and what a model had answered.

    ``y`` [n] as `Rows` has it. ``is_fed_back`` [n] where a client sent the label; for those rows
    ``client`` [n] numbers the tokens and ``said`` [n] is what was answered (NaN where unknown).
    ``names`` are the clients by number.
    """

    task: Task
    y: Floats
    times: NDArray[np.datetime64]
    is_fed_back: Mask
    client: NDArray[np.intp]
    said: Floats
    names: tuple[str, ...]

    def senders(self, places: NDArray[np.intp]) -> Iterator[tuple[str, Mask]]:
        """Each client that labelled some of the rows at ``places``, and which of these."""
        for number, name in enumerate(self.names):
            rows = self.is_fed_back[places] & (self.client[places] == number)
            if rows.any():
                yield name, rows


@dataclass(frozen=True)
class Expected:
    """How often the model was right on ``n_rows`` whose labels no client had sent."""

    accuracy: float
    n_rows: int
    is_trusted: bool


@dataclass(frozen=True)
class Finding:
    """Something about the labels, in a sentence with numbers; ``n_rows`` were left out for it."""

    kind: str
    n_rows: int
    text: str
    share: float | None = None


@dataclass(frozen=True)
class Trusted:
    """Which rows [n] may train and which may judge, and what was found."""

    trains: Mask
    judges: Mask
    findings: tuple[Finding, ...]


def trust(
    labels: Labels,
    rules: TrustRules,
    now: np.datetime64,
    has_other_source: bool,
    expected: Expected | None,
) -> Trusted:
    """Decide row by row.

    ``has_other_source``: labels still come by another way than ``/feedback``; then what clients
    send never judges. Rows behind ``now`` do neither.
    """
    findings = list[Finding]()
    good = labels.times <= now
    if n_ahead := int((~good).sum()):
        text = f"{n_ahead} labelled rows lie in the future: left out until their time has come"
        findings.append(Finding("future", n_ahead, text))
    if rules.refuse_echoes:
        for finding, rows in find_echoes(labels, expected):
            findings.append(finding)
            good &= ~rows
    trains = good.copy()
    is_alone = not has_other_source and rules.feedback_judges == "alone"
    for finding, rows in cap_clients(labels, good, rules.max_client_share, has_other_source):
        findings.append(finding)
        trains &= ~rows
    judges = trains if is_alone else good & ~labels.is_fed_back
    noise = estimate_noise(labels, good, expected)
    return Trusted(trains, judges, (*findings, *([noise] if noise else [])))


def find_echoes(labels: Labels, expected: Expected | None) -> Iterator[tuple[Finding, Mask]]:
    """Feedback that repeats the model's own answers, by client and stretch of rows.

    A number that equals a prediction is no chance. A class is, as often as the model is right:
    a stretch is an echo if it agrees more often than it would even if half of the model's errors
    were gone, at 1 in 10,000 (binomial). A model that is hardly ever wrong leaves nothing to tell.
    """
    is_known = labels.is_fed_back & ~np.isnan(labels.said)
    for number, name in enumerate(labels.names):
        rows = np.flatnonzero(is_known & (labels.client == number))
        if labels.task == "regression":
            scale = np.maximum(1.0, np.abs(labels.said[rows]))
            same = np.abs(labels.y[rows] - labels.said[rows]) <= 1e-6 * scale
            echoed = rows[same]
            is_echo = len(echoed) >= LEAST_ECHO_ROWS and same.mean() >= EXACT_SHARE
            told = f"{len(echoed)} of {len(rows)} numbers equal the prediction to the last digit"
        elif expected is None:
            return
        else:
            same = labels.y[rows] == labels.said[rows]
            echoed = _echoed_stretches(rows, same, expected)
            is_echo = len(echoed) > 0
            told = (
                f"{same.mean() if len(rows) else 0:.1%} of {len(rows)} labels repeat the answer, "
                f"where the model is right in {expected.accuracy:.1%}"
            )
        if is_echo:
            mask = np.zeros(len(labels.y), dtype=bool)
            mask[echoed] = True
            text = f"{name} echoes predictions: {told}; {len(echoed)} rows left out"
            yield Finding("echo", len(echoed), text, float(same.mean())), mask


def _echoed_stretches(rows: NDArray[np.intp], same: Mask, expected: Expected) -> NDArray[np.intp]:
    bound = 1 - (1 - _upper(expected)) / 2
    if bound >= 1 or not len(rows):
        return rows[:0]
    needed = math.ceil(1.3 * math.log(ECHO_ALPHA) / math.log(bound))
    n_parts = max(1, len(rows) // max(ECHO_ROWS, needed))
    found = [rows[:0]]
    for part, agrees in zip(
        np.array_split(rows, n_parts), np.array_split(same, n_parts), strict=True
    ):
        if stats.binom.sf(agrees.sum() - 1, len(part), bound) < ECHO_ALPHA:
            found.append(part)
    return np.concatenate(found)


def _upper(expected: Expected) -> float:
    """Upper end of the 95% interval of the accuracy (Wilson 1927)."""
    n_right = round(expected.accuracy * expected.n_rows)
    interval = stats.binomtest(n_right, expected.n_rows).proportion_ci(0.95, method="wilson")
    return float(interval.high)


def cap_clients(
    labels: Labels, good: Mask, share: float, has_other_source: bool
) -> Iterator[tuple[Finding, Mask]]:
    """Rows of a client beyond its share of the training rows, evenly over its time.

    Where one client is all that sends labels there is nobody to hold it against.
    """
    fed_back = good & labels.is_fed_back
    counts = np.bincount(labels.client[fed_back], minlength=len(labels.names))
    if share >= 1 or ((counts > 0).sum() < 2 and not has_other_source):
        return
    for number, name in enumerate(labels.names):
        others = int(good.sum()) - int(counts[number])
        allowed = int(share / (1 - share) * others)
        if counts[number] <= allowed:
            continue
        rows = np.flatnonzero(fed_back & (labels.client == number))
        kept = rows[np.linspace(0, len(rows) - 1, allowed).round().astype(np.intp)]
        mask = np.zeros(len(labels.y), dtype=bool)
        mask[rows] = True
        mask[kept] = False
        of_all = counts[number] / max(int(good.sum()), 1)
        text = (
            f"{name} sent {of_all:.1%} of the labelled rows, allowed {share:.0%}: "
            f"{int(mask.sum())} rows left out"
        )
        yield Finding("flood", int(mask.sum()), text, float(of_all)), mask


def estimate_noise(labels: Labels, good: Mask, expected: Expected | None) -> Finding | None:
    """The share of feedback labels that are flipped, if flips hit all rows alike.

    With k classes, a model that errs on e of the true labels errs on e + r (1 − e k / (k − 1)) of
    labels of which a share r is replaced by another class. Solved for r, with a 95% interval.
    None for numbers, and where too little is known.
    """
    rows = good & labels.is_fed_back & ~np.isnan(labels.said)
    n_rows = int(rows.sum())
    if labels.task == "regression" or expected is None or min(n_rows, expected.n_rows) < 50:
        return None
    n_classes = int(max(labels.y.max(), labels.said[rows].max(), 1)) + 1
    error, seen = 1 - expected.accuracy, float((labels.y[rows] != labels.said[rows]).mean())
    slope = 1 - error * n_classes / (n_classes - 1)
    if slope < 0.1:
        return None
    spread = math.sqrt(seen * (1 - seen) / n_rows + error * (1 - error) / expected.n_rows)
    share = (seen - error) / slope
    low, high = (max(0.0, share + sign * 1.96 * spread / slope) for sign in (-1, 1))
    against = (
        "trusted rows" if expected.is_trusted else "its holdout, so that drift counts as noise"
    )
    text = (
        f"label noise of /feedback about {max(share, 0):.1%} [{low:.1%}, {high:.1%}]: the model "
        f"errs on {seen:.1%} of its {n_rows} rows, on {error:.1%} of {expected.n_rows} of {against}"
    )
    return Finding("noise", 0, text, max(share, 0.0))


def describe(findings: Sequence[Finding]) -> str:
    """The findings in one sentence; empty when there are none."""
    return "; ".join(finding.text for finding in findings)
