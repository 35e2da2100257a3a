"""The share of the API's answers that are errors of ours, and whether that is too many."""

from __future__ import annotations

import math
from dataclasses import dataclass

from learning.alert_rules import AlertRules

Z_95 = 1.959963984540054


@dataclass(frozen=True)
class ErrorRate:
    """5xx answers of a window: ``share`` with its 95% interval (all NaN without requests)."""

    n_requests: int
    n_errors: int
    share: float
    low: float
    high: float
    is_testable: bool
    is_high: bool


def judge_errors(n_requests: int, n_errors: int, rules: AlertRules) -> ErrorRate:
    """Whether errors are above the allowed share; not testable below the least number of requests.

    The interval is Wilson's (1927), which holds for shares near zero.
    """
    if n_requests <= 0:
        return ErrorRate(0, 0, math.nan, math.nan, math.nan, False, False)
    share = n_errors / n_requests
    low, high = wilson(n_errors, n_requests)
    is_testable = n_requests >= rules.error_min_requests
    is_high = is_testable and share > rules.error_share
    return ErrorRate(n_requests, n_errors, share, low, high, is_testable, is_high)


def wilson(n_hits: int, n: int) -> tuple[float, float]:
    """The 95% score interval of a share, within 0 and 1; ``n`` is at least 1."""
    share, z2 = n_hits / n, Z_95**2
    middle = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = Z_95 * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n)) / (1 + z2 / n)
    return max(0.0, middle - half), min(1.0, middle + half)
