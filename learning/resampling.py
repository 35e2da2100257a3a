"""Bootstrap intervals and errors, over all resamples at once.

A resample is told by how often it drew each row, and a statistic of it follows from these counts
(`learning.counted`): one sort of the rows serves all resamples.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import lru_cache

import numpy as np

from learning.rows import Floats

# Its value for each resample, from how often each drew each row [resamples, n], as floats.
Statistic = Callable[[Floats], Floats]
N_RESAMPLES = 300
# So many at a time that they stay near the processor.
MOST_COUNTS = 200_000
# Those of so few are kept for the next window of as many rows: drawing takes as long as counting.
MOST_KEPT = 300_000


def bootstrap(
    statistic: Statistic,
    n_rows: int,
    confidence: float,
    seed: int = 0,
    n_resamples: int = N_RESAMPLES,
) -> tuple[float, float]:
    """Percentile bootstrap interval of a statistic (Efron 1979).

    Resamples on which it is undefined are left out; (nan, nan) when all are, or without rows.
    """
    if not n_rows:
        return math.nan, math.nan
    drawn = [statistic(counts) for counts in resamples(n_rows, seed, n_resamples)]
    return _interval(np.concatenate(drawn), confidence)


def bootstrap_all(
    statistics: Callable[[Floats], dict[str, Floats]],
    n_rows: int,
    confidence: float,
    seed: int = 0,
    n_resamples: int = N_RESAMPLES,
) -> dict[str, tuple[float, float]]:
    """The intervals of several statistics on the same resamples.

    One that is defined on none of them has no interval.
    """
    drawn = [statistics(counts) for counts in resamples(n_rows, seed, n_resamples)]
    found = {
        name: _interval(np.concatenate([one[name] for one in drawn]), confidence)
        for name in (drawn[0] if drawn else ())
    }
    return {name: ends for name, ends in found.items() if not math.isnan(ends[0])}


def bootstrap_error(statistic: Statistic, n_rows: int, block: int, seed: int = 0) -> float:
    """Standard error of a statistic over circular blocks of rows (Politis and Romano 1992).

    Blocks of one row are Efron's bootstrap. nan when the statistic is hardly ever defined.
    """
    if not n_rows:
        return math.nan
    drawn = [statistic(counts) for counts in resamples(n_rows, seed, N_RESAMPLES, block)]
    values = np.concatenate(drawn)
    known = values[~np.isnan(values)]
    return float(known.std(ddof=1)) if len(known) > 1 else math.nan


def resamples(n_rows: int, seed: int, n_resamples: int, block: int = 1) -> Iterator[Floats]:
    """How often each resample draws each row, some resamples [k, n] at a time.

    They are made of circular blocks of ``block`` neighbours, the last cut short; as many rows are
    drawn as there are. The arrays cannot be written to: windows of one size share them.
    """
    if n_rows * n_resamples <= MOST_KEPT:
        return iter(_kept(n_rows, seed, n_resamples, block))
    return _draw(n_rows, seed, n_resamples, block)


@lru_cache(maxsize=4)
def _kept(n_rows: int, seed: int, n_resamples: int, block: int) -> tuple[Floats, ...]:
    return tuple(_draw(n_rows, seed, n_resamples, block))


def _draw(n_rows: int, seed: int, n_resamples: int, block: int) -> Iterator[Floats]:
    rng, n_blocks = np.random.default_rng(seed), math.ceil(n_rows / block)
    step = max(1, MOST_COUNTS // n_rows)
    for first in range(0, n_resamples, step):
        n_drawn = min(step, n_resamples - first)
        rows = rng.integers(0, n_rows, (n_drawn, n_blocks))
        if block > 1:
            rows = rows[:, :, None] + np.arange(block)
            rows = rows.reshape(n_drawn, -1)[:, :n_rows] % n_rows
        places = rows + n_rows * np.arange(n_drawn)[:, None]
        counts = np.bincount(places.ravel(), minlength=n_drawn * n_rows)
        found = counts.reshape(n_drawn, n_rows).astype(np.float64)
        found.flags.writeable = False
        yield found


def _interval(values: Floats, confidence: float) -> tuple[float, float]:
    values = values[~np.isnan(values)]
    if not len(values):
        return math.nan, math.nan
    tail = (1 - confidence) / 2
    low, high = np.quantile(values, [tail, 1 - tail])
    return float(low), float(high)
