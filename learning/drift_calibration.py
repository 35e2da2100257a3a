"""How much less rows that depend on each other say: the reference replayed against itself.

Tests of drift count rows as if each were drawn anew. Rows of a stream are not: hours of one day,
orders of one customer. Blocks of the reference then differ from the rest of it by more than chance
allows, and that is measured here once, at training: the variance of the shares of blocks beside
that of free rows, for blocks of 32, 64, 128 … rows. A check divides its rows by that inflation.
The whole rule is then replayed on the blocks, and the inflation is raised until it keeps quiet.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special

from learning.drift_ks import ks_p_value
from learning.drift_paths import N_BINS, Paths, find_paths
from learning.drift_verdict import judge, sounds
from learning.problem import DriftRules, Feature
from learning.rows import Floats, Matrix

MOST_ROWS = 32_768
SMALLEST_BLOCK = 32
FEWEST_BLOCKS = 8
BRIDGE_FREEDOM = 2.5  # of a Brownian bridge: (Σλ)² / Σλ² with its eigenvalues λ = 1/(πk)²
RAISES = (1.0, 1.25, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0, 12.0, 16.0, 24.0, 32.0)
FALSE_ALARMS = 0.01
ARRAYS = ("levels", "values", "missing", "is_dependent")


@dataclass(frozen=True)
class Calibration:
    """Variance inflation of shares by size of block [levels, features], of values and missingness.

    ``raised`` is the factor that the replay asked for on top, after ``n_blocks`` of it;
    ``n_rows`` are the rows in time order behind the reference. ``paths`` are those of features
    whose rows depend on each other; None in what was kept before there were any.
    """

    n_rows: int
    levels: NDArray[np.int64]
    values: Floats
    missing: Floats
    is_dependent: NDArray[np.bool_]
    raised: float = 1.0
    n_blocks: int = 0
    n_alarms: int = 0
    paths: Paths | None = None

    def inflation(self, n_rows: int, of_missing: bool = False) -> Floats:
        """Inflation [features] of windows of so many rows, at least 1.

        Between the levels it is interpolated in the logarithm of the rows; beyond the largest
        it goes on growing as it did last, no faster than the rows themselves.
        """
        table = self.missing if of_missing else self.values
        place = math.log2(max(n_rows, 1) / self.levels[0])
        last = len(self.levels) - 1
        if place <= 0 or last == 0:
            found = table[0]
        elif place <= last:
            low = min(int(place), last - 1)
            found = table[low] + (table[low + 1] - table[low]) * (place - low)
        else:
            slope = np.clip(np.log2(table[last] / table[last - 1]), 0.0, 1.0)
            found = table[last] * 2 ** (np.where(self.is_dependent, slope, 0.0) * (place - last))
        return np.asarray(np.maximum(1.0, found * self.raised))

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Named arrays to be kept in a file."""
        facts = np.array([self.n_rows, self.raised, self.n_blocks, self.n_alarms])
        paths = {} if self.paths is None else {"paths": self.paths.to_array()}
        return {"facts": facts, **{n: np.asarray(getattr(self, n)) for n in ARRAYS}, **paths}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Calibration | None:
        """The calibration behind `to_arrays`; None where there is none."""
        if "facts" not in arrays:
            return None
        n_rows, raised, n_blocks, n_alarms = arrays["facts"].tolist()
        levels, values, missing, is_dependent = (arrays[name] for name in ARRAYS)
        return cls(
            int(n_rows), levels, values, missing, is_dependent,
            raised, int(n_blocks), int(n_alarms),
            Paths(*arrays["paths"]) if "paths" in arrays else None,
        )  # fmt: skip


@dataclass(frozen=True)
class FreeRows:
    """What the rows of two windows are worth, by feature [features].

    ``current`` is the current window's known rows as free ones, ``both`` is n·m/(n+m) of both
    windows, ``values`` and ``missing`` are the inflation of both together. ``paths`` are what the
    p-value of KS is taken by, None where nothing is known of them.
    """

    current: Floats
    both: Floats
    values: Floats
    missing: Floats
    paths: Paths | None = None


def free_rows(
    calibration: Calibration | None,
    places: NDArray[np.int64],
    known: tuple[Floats, Floats],
    sizes: tuple[int, int],
) -> FreeRows:
    """Free rows of a reference and a current window, from their known rows and their sizes.

    ``places`` are the features' columns in the calibration, -1 where it knows nothing of one,
    whose rows then count as free. The reference is thinned from the calibration's rows, so it
    varies as they do, and by the thinning.
    """
    reference, current = (np.maximum(side, 1e-9) for side in known)
    free = 1 / reference + 1 / current
    if calibration is None:
        ones = np.ones(len(places))
        return FreeRows(current, 1 / free, ones, ones)
    n_stream = max(calibration.n_rows, sizes[0])

    def inflation(n_rows: int, of_missing: bool) -> Floats:
        return np.asarray(np.append(calibration.inflation(n_rows, of_missing), 1.0)[places])

    def variance(of_missing: bool) -> Floats:
        behind = (inflation(n_stream, of_missing) - 1) / n_stream * (sizes[0] / reference)
        return 1 / reference + behind + inflation(sizes[1], of_missing) / current

    return FreeRows(
        current / inflation(sizes[1], False),
        1 / variance(False),
        variance(False) / free,
        variance(True) / free,
        None if calibration.paths is None else calibration.paths.at(places),
    )


def calibrate(stream: Matrix, features: Sequence[Feature], rules: DriftRules) -> Calibration | None:
    """Calibrate on encoded rows in time order [n, features]; the newest 32,768 are looked at.

    None when there are too few rows for eight blocks of 32, which then count as free.
    """
    stream = stream[-MOST_ROWS:]
    if len(stream) < SMALLEST_BLOCK * FEWEST_BLOCKS or not features:
        return None
    counts = _block_counts(stream, features)
    numeric = np.array([feature.kind == "numeric" for feature in features])
    blocks = list(_levels(counts))
    levels = SMALLEST_BLOCK * 2 ** np.arange(len(blocks))
    values = [_values_inflation(block, numeric) for block in blocks]
    missing = [_missing_inflation(block) for block in blocks]
    freedom = np.array([len(block) - 1 for block in blocks], dtype=np.float64)[:, None]
    by_values, is_dependent = _bounded(np.array(values), freedom * BRIDGE_FREEDOM)
    by_missing, _ = _bounded(np.array(missing), freedom)
    paths = find_paths([block[:, :, :-1] for block in blocks], is_dependent & numeric)
    found = Calibration(len(stream), levels, by_values, by_missing, is_dependent, paths=paths)
    return _replayed(found, blocks, numeric, rules)


def _block_counts(stream: Matrix, features: Sequence[Feature]) -> NDArray[np.int32]:
    """Rows by block of 32, feature and bin; the last bin is of missing values.

    A number's bins are its quantiles; a category's the most frequent ones, then all others.
    """
    n_blocks = len(stream) // SMALLEST_BLOCK
    stream = stream[len(stream) - n_blocks * SMALLEST_BLOCK :]
    block = np.repeat(np.arange(n_blocks) * (N_BINS + 1), SMALLEST_BLOCK)
    counts = np.empty((n_blocks, len(features), N_BINS + 1), dtype=np.int32)
    for place, feature in enumerate(features):
        bins = _bins(stream[:, place], feature)
        found = np.bincount(block + bins, minlength=n_blocks * (N_BINS + 1))
        counts[:, place] = found.reshape(n_blocks, N_BINS + 1)
    return counts


def _bins(column: NDArray[np.float32], feature: Feature) -> NDArray[np.int64]:
    if feature.kind == "numeric":
        is_missing = np.isnan(column)
        values = column[~is_missing]
        bins = np.full(len(column), N_BINS)
        if len(values):
            edges = np.quantile(
                values[:: len(values) // 4_096 + 1], np.arange(1, N_BINS) / N_BINS, method="higher"
            )
            bins[~is_missing] = np.searchsorted(edges.astype(np.float32), values, "left")
        return bins
    codes = np.where(column >= 0, column, -1)
    found, places, counts = np.unique(codes, return_inverse=True, return_counts=True)
    rank = np.empty(len(found), dtype=np.int64)
    rank[np.argsort(-counts)] = np.arange(len(found))
    return np.where(codes < 0, N_BINS, np.minimum(rank, N_BINS - 1)[places])


def _levels(counts: NDArray[np.int32]) -> Iterator[NDArray[np.int32]]:
    while len(counts) >= FEWEST_BLOCKS:
        yield counts
        even = counts[len(counts) % 2 :]
        counts = even[::2] + even[1::2]


def _values_inflation(blocks: NDArray[np.int32], numeric: NDArray[np.bool_]) -> Floats:
    """Variance of the blocks' shares beside that of free rows; 1 where nothing varies.

    Of numbers, the distribution function at the bins' edges is looked at, those near the middle
    weighing more, since the largest differences stand there; of categories, every share.
    """
    known = blocks[:, :, :-1]
    n_known = known.sum(axis=2, keepdims=True)
    share = np.cumsum(known, axis=2) / np.maximum(n_known, 1)
    inflation = _inflation(share, n_known, centred=True)
    if not numeric.all():
        size = blocks.sum(axis=2, keepdims=True)
        by_category = _inflation(blocks[:, ~numeric] / size[:, ~numeric], size[:, ~numeric], False)
        inflation[~numeric] = by_category
    return inflation


def _missing_inflation(blocks: NDArray[np.int32]) -> Floats:
    size = blocks.sum(axis=2, keepdims=True)
    return _inflation(blocks[:, :, -1:] / size, size, centred=False)


def _inflation(share: Floats, size: NDArray[Any], centred: bool) -> Floats:
    weight = size / np.maximum(size.sum(axis=0, keepdims=True), 1)
    mean = (share * weight).sum(axis=0)
    n_blocks = len(share)
    spread = ((share - mean) ** 2 * weight).sum(axis=0) * n_blocks / (n_blocks - 1)
    free = mean * (1 - mean)
    attention = free if centred else np.ones_like(free)
    expected = (free * attention).sum(axis=1)
    found = (spread * attention).sum(axis=1) * size.mean(axis=0)[:, 0]
    return np.asarray(np.where(expected > 0, found / np.where(expected > 0, expected, 1), 1.0))


def _bounded(inflation: Floats, freedom: Floats) -> tuple[Floats, NDArray[np.bool_]]:
    """Never below 1, never falling with the size, with a standard error on top where it is real."""
    error = np.sqrt(2 / freedom)
    is_real = np.asarray((inflation > 1 + 3 * error).any(axis=0))
    found = np.where(is_real, inflation * (1 + error), inflation)
    return np.maximum.accumulate(np.maximum(found, 1.0)), is_real


_Played = tuple[Floats, Floats, Floats]


def _replayed(
    found: Calibration,
    blocks: Sequence[NDArray[np.int32]],
    numeric: NDArray[np.bool_],
    rules: DriftRules,
) -> Calibration:
    """Raise the inflation until blocks against the rest alarm in at most 1% of the replay."""
    sizes = found.levels.tolist()
    played = [
        (size, _differences(block, numeric, size))
        for size, block in zip(sizes, blocks, strict=True)
        if size >= min(rules.min_rows, sizes[-1])
    ]
    n_blocks = sum(len(parts[0]) for _, parts in played)
    minimum = np.where(numeric, rules.min_effect_numeric, rules.min_effect_categorical)
    for raised in RAISES:
        tried = replace(found, raised=raised, n_blocks=n_blocks)
        n_alarms = sum(_alarms(tried, size, parts, minimum, rules) for size, parts in played)
        if n_alarms <= FALSE_ALARMS * n_blocks:
            break
    return replace(tried, n_alarms=n_alarms)


def _differences(
    blocks: NDArray[np.int32], numeric: NDArray[np.bool_], size: int
) -> tuple[Floats, Floats, Floats]:
    """Each block against all the others [blocks, features]: statistic, freedom and effect.

    The statistic of a number is KS (freedom 0), of a category Σ (p - q)² / q.
    """
    rest = blocks.sum(axis=0, keepdims=True) - blocks
    ours, theirs = (_shares(side[:, :, :-1]) for side in (blocks, rest))
    gap = np.abs(np.cumsum(ours - theirs, axis=2)).max(axis=2)
    freedom, effect = np.zeros_like(gap), gap.copy()
    if numeric.all():
        return gap, freedom, effect
    ours, theirs = (_shares(side[:, ~numeric]) for side in (blocks, rest))
    middle = (ours + theirs) / 2
    divergence = (special.rel_entr(ours, middle) + special.rel_entr(theirs, middle)).sum(axis=2)
    effect[:, ~numeric] = np.sqrt(np.clip(divergence / 2 / math.log(2), 0, 1))
    gap[:, ~numeric], freedom[:, ~numeric] = _squared(ours, theirs, size)
    return gap, freedom, effect


def _squared(ours: Floats, theirs: Floats, size: int) -> tuple[Floats, Floats]:
    """Σ (p - q)² / q and its freedom; categories expected fewer than 5 times are pooled."""
    is_rare = theirs * size < 5
    rare = [np.where(is_rare, side, 0).sum(axis=2) for side in (ours, theirs)]
    counts = rare[1] * size >= 5
    base = np.where(is_rare, 1.0, theirs)
    found = np.where(is_rare, 0, (ours - theirs) ** 2 / base).sum(axis=2)
    found += np.where(counts, (rare[0] - rare[1]) ** 2 / np.where(counts, rare[1], 1), 0)
    return found, (~is_rare).sum(axis=2) + counts - 1.0


def _shares(counts: NDArray[np.int32]) -> Floats:
    return np.asarray(counts / np.maximum(counts.sum(axis=2, keepdims=True), 1))


def _alarms(
    tried: Calibration, size: int, block: _Played, minimum: Floats, rules: DriftRules
) -> int:
    """How many blocks of a size alarm."""
    gaps, freedom, effects = block
    rest = tried.n_rows - size
    both = 1 / (tried.inflation(rest) / rest + tried.inflation(size) / size)
    by_category = special.chdtrc(np.maximum(freedom, 1), gaps * both)
    p_values = np.where(freedom > 0, by_category, ks_p_value(gaps, both, tried.paths))
    n_alarms = 0
    for p_of_block, effect in zip(p_values, effects, strict=True):
        adjusted, is_drifted = judge(p_of_block, effect, minimum, rules)
        n_alarms += sounds(adjusted, is_drifted, rules)
    return n_alarms
