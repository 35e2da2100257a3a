"""How numbers, intervals and reasons are spelled in sentences for people."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from learning.alert import without_values

RIVALS = {"no_change": "no change", "frozen": "frozen first model", "dummy": "dummy"}


@dataclass(frozen=True)
class DriftedFeature:
    """A feature's name with its effect: KS statistic, Jensen–Shannon distance, or missing share."""

    name: str
    test: str
    statistic: float
    p_value: float

    def __str__(self) -> str:
        return f"{self.name} ({self.test} {number(self.statistic)}, p {_p_value(self.p_value)})"


@dataclass(frozen=True)
class Gain:
    """How much better a challenger is (positive is better), with its confidence interval."""

    metric: str
    value: float
    low: float
    high: float
    confidence: float

    def __str__(self) -> str:
        interval = f"[{number(self.low)}, {number(self.high)}]"
        return f"{self.metric} {self.value:+.4g}, {100 * self.confidence:g}% interval {interval}"


def number(value: float) -> str:
    """The number with four significant digits; ``n/a`` when it is not finite."""
    return f"{value:.4g}" if math.isfinite(value) else "n/a"


def figure(value: float | None, low: float | None = None, high: float | None = None) -> str:
    """A metric with three digits behind the point, and its interval; ``n/a`` when unknown."""
    if value is None or not math.isfinite(value):
        return "n/a"
    return f"{value:.3f}" if low is None or high is None else f"{value:.3f} [{low:.3f}, {high:.3f}]"


def sentence(text: str) -> str:
    """The text with a full stop, unless it ends like a sentence already."""
    text = text.strip()
    return text if text.endswith((".", "!", "?")) else f"{text}."


def story(what: str, done: str = "", to_do: str = "Nothing.") -> str:
    """The lines of an alert: what happened, what was done without the reader, what is left."""
    lines = [what, f"By itself: {done}" if done else "", f"To do: {to_do}"]
    return "\n".join(line for line in lines if line)


def percent(share: float) -> str:
    """A share as a percentage with three significant digits; ``n/a`` when it is not finite."""
    return f"{100 * share:.3g}%" if math.isfinite(share) else "n/a"


def most_frequent(reasons: Mapping[str, int], n: int, names: Collection[str] = ()) -> str:
    """The ``n`` most frequent reasons with their counts, without values; ``names`` are columns."""
    ordered = sorted(reasons.items(), key=lambda item: (-item[1], item[0]))[:n]
    return ", ".join(f"{without_values(reason, names)} ({count:,})" for reason, count in ordered)


def _p_value(value: float) -> str:
    return "< 1e-6" if value < 1e-6 else f"{value:.2g}"
