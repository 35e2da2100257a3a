"""What dependent rows can tell at all: our rule beside tests that know what ours must estimate.

Features are independent of each other, each row keeps nine tenths of the one before, and six of
twenty features move by half a standard deviation. A mean of n such rows varies as one of
n · (1 - 0.9) / (1 + 0.9) free ones. The one limit is our rule fed by the best test of each single
feature, Gauss's of the mean with its true variance; the other looks at all features at once,
χ² of the twenty means, at the level that our rule keeps.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from scipy import stats

from benchmarks.alarms_windows import MEMORY, draw
from learning.drift import check_drift
from learning.drift_reference import summarise_stream
from learning.drift_verdict import judge, sounds
from learning.problem import DriftRules, Feature

RULES = DriftRules()
REFERENCE, PER_REFERENCE = 5_000, 10
ROWS = (1_000, 2_000, 4_000, 8_000)
SHIFT, N_MOVED, N_FEATURES = 0.5, 6, 20
FEATURES = [Feature(name=f"n{index}") for index in range(N_FEATURES)]
MOVED = np.where(np.arange(N_FEATURES) < N_MOVED, SHIFT, 0.0)


def free_rows(n: int) -> float:
    """What n rows are worth to a mean."""
    return n * (1 - MEMORY) / (1 + MEMORY)


def distance(n: int) -> float:
    """By how many standard errors the means of a moved feature differ."""
    return SHIFT / math.sqrt(1 / free_rows(n) + 1 / free_rows(REFERENCE))


def best_of_single(n: int, n_windows: int, rng: np.random.Generator) -> float:
    """Share of windows that our rule finds, given each feature's best p-value."""
    z = rng.standard_normal((n_windows, N_FEATURES)) + MOVED / SHIFT * distance(n)
    every = np.ones(N_FEATURES)
    found = [judge(p, every, 0 * every, RULES) for p in 2 * stats.norm.sf(np.abs(z))]
    return float(np.mean([sounds(adjusted, drifted, RULES) for adjusted, drifted in found]))


def best_of_all(n: int) -> float:
    """Power of χ² of all means."""
    limit = stats.chi2.isf(RULES.family_alpha, N_FEATURES)
    return float(stats.ncx2.sf(limit, N_FEATURES, N_MOVED * distance(n) ** 2))


def ours(n: int, n_windows: int, rng: np.random.Generator) -> float:
    """Share of windows that a check finds."""
    alarms = 0
    for index in range(n_windows):
        if index % PER_REFERENCE == 0:
            reference = draw("autocorrelated", REFERENCE, N_FEATURES, rng)
            kept = summarise_stream(reference, reference, FEATURES, RULES)
        window = draw("autocorrelated", n, N_FEATURES, rng) + MOVED.astype(np.float32)
        alarms += check_drift(kept, window, FEATURES, RULES).is_drifted
    return alarms / n_windows


def dependent(n_windows: int) -> list[dict[str, Any]]:
    """A row of the table for each size of window."""
    return [
        {
            "rows": n,
            "free_rows": round(free_rows(n)),
            "windows": n_windows,
            "ours": round(ours(n, n_windows, np.random.default_rng(n)), 4),
            "best_of_single": round(best_of_single(n, 4_000, np.random.default_rng(n)), 4),
            "best_of_all": round(best_of_all(n), 4),
        }
        for n in ROWS
    ]
