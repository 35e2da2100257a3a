"""Data drift: is the current window drawn from the same distribution as the reference?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from learning.problem import DriftRules, Feature, FeatureKind
from learning.rows import Floats, Matrix


@dataclass(frozen=True)
class FeatureDrift:
    """One feature's test. Numbers are None where ``not_testable`` says why.

    ``effect`` is Cramér's V of a category; of a number it is the KS statistic, or the change of
    its share of missing values where that is what tells the windows apart. ``statistic`` is
    None for a number that one window lacks altogether.
    """

    name: str
    kind: FeatureKind
    statistic: float | None = None
    p_value: float | None = None
    p_adjusted: float | None = None
    effect: float | None = None
    is_drifted: bool = False
    not_testable: str | None = None


@dataclass(frozen=True)
class DriftResult:
    """The verdict of one check. ``drift_share`` is None when no feature could be tested."""

    is_drifted: bool
    drift_share: float | None
    threshold: float
    n_reference: int
    n_current: int
    features: tuple[FeatureDrift, ...]
    reason: str


def ks_two_sample(reference: Floats, current: Floats) -> tuple[float, float]:
    """Two-sided Kolmogorov–Smirnov statistic and p-value of two samples without NaN.

    ``reference`` is sorted. Ties are handled by comparing the distribution functions only behind
    each run of equal values. The p-value is the limiting one with n·m/(n+m) rows, as in
    ``scipy.stats.ks_2samp(method="asymp")`` (Hodges 1958). Undefined (nan, nan) on empty samples.
    """
    if not len(reference) or not len(current):
        return math.nan, math.nan
    current = np.sort(current)
    points = np.concatenate([reference, current])
    below_reference = np.searchsorted(reference, points, side="right") / len(reference)
    below_current = np.searchsorted(current, points, side="right") / len(current)
    statistic = float(np.abs(below_reference - below_current).max())
    effective = len(reference) * len(current) / (len(reference) + len(current))
    return statistic, float(stats.kstwo.sf(statistic, max(1, round(effective))))


def chi_square(reference: Floats, current: Floats) -> tuple[float, float, float]:
    """Pearson's chi-square statistic, p-value and Cramér's V of two rows of counts.

    Categories that neither sample has do not count; categories expected fewer than 5 times in
    the smaller sample are pooled, since the limit law fails there (Cochran 1954).
    Undefined (nan, nan, nan) when fewer than two categories are left.
    """
    table = _pooled(np.vstack([reference, current]))
    total = table.sum()
    if table.shape[1] < 2 or not table.sum(axis=1).all():
        return math.nan, math.nan, math.nan
    expected = table.sum(axis=1, keepdims=True) * table.sum(axis=0, keepdims=True) / total
    statistic = float(((table - expected) ** 2 / expected).sum())
    p_value = float(stats.chi2.sf(statistic, table.shape[1] - 1))
    return statistic, p_value, math.sqrt(statistic / total)


def _pooled(table: Floats) -> Floats:
    sums = table.sum(axis=0)
    table, sums = table[:, sums > 0], sums[sums > 0]
    smaller = table.sum(axis=1).min() / max(table.sum(), 1)
    rare = sums * smaller < 5
    if rare.sum() < 2:
        return table
    return np.column_stack([table[:, ~rare], table[:, rare].sum(axis=1)])


def adjust_p_values(p_values: Floats, correction: str) -> Floats:
    """P-values corrected for testing all of them.

    ``benjamini-hochberg`` controls the false discovery rate (Benjamini and Hochberg 1995),
    ``bonferroni`` the chance of any false discovery.
    """
    n = len(p_values)
    if correction == "bonferroni":
        return np.minimum(p_values * n, 1.0)
    if correction == "none" or n == 0:
        return p_values
    order = np.argsort(p_values)[::-1]
    scaled = p_values[order] * n / np.arange(n, 0, -1)
    adjusted = np.empty(n)
    adjusted[order] = np.minimum(np.minimum.accumulate(scaled), 1.0)
    return adjusted


def check_drift(
    reference: Matrix, current: Matrix, features: Sequence[Feature], rules: DriftRules
) -> DriftResult:
    """Compare two encoded windows feature by feature and say whether the inputs have drifted.

    A feature drifts when its corrected p-value is below ``alpha`` and its effect size reaches the
    minimum; the alarm sounds when more than ``share`` of the testable features drift and the
    smallest corrected p-value is below ``family_alpha``.
    """
    n_reference, n_current = len(reference), len(current)
    if min(n_reference, n_current) < rules.min_rows:
        why = f"{min(n_reference, n_current)} rows are fewer than {rules.min_rows}"
        untested = tuple(FeatureDrift(f.name, f.kind, not_testable=why) for f in features)
        return DriftResult(
            False, None, rules.share, n_reference, n_current, untested, f"not testable: {why}"
        )
    tested = [
        _test_feature(feature, reference[:, index], current[:, index], rules)
        for index, feature in enumerate(features)
    ]
    return _verdict(_adjusted(tested, rules), n_reference, n_current, rules)


def _test_feature(
    feature: Feature,
    reference: NDArray[np.float32],
    current: NDArray[np.float32],
    rules: DriftRules,
) -> FeatureDrift:
    if feature.kind == "categorical":
        codes, places = np.unique(np.concatenate([reference, current]), return_inverse=True)
        sides = places[: len(reference)], places[len(reference) :]
        counts = [np.bincount(side, minlength=len(codes)).astype(float) for side in sides]
        statistic, p_value, effect = chi_square(*counts)
        why = "only one category on both sides" if math.isnan(p_value) else None
        return _tested(feature, statistic, p_value, effect, why)
    return _test_number(feature, reference, current, rules.min_effect_numeric)


def _test_number(
    feature: Feature,
    reference: NDArray[np.float32],
    current: NDArray[np.float32],
    min_effect: float,
) -> FeatureDrift:
    there, here = ~np.isnan(reference), ~np.isnan(current)
    moved = abs(float(there.mean()) - float(here.mean()))
    gap = math.nan
    if moved > 0:
        counts = [np.array([side.sum(), (~side).sum()], dtype=float) for side in (there, here)]
        _, gap, _ = chi_square(*counts)
    known = np.sort(reference[there].astype(np.float64))
    values = current[here].astype(np.float64)
    statistic, p_value = ks_two_sample(known, values)
    if math.isnan(p_value) and math.isnan(gap):
        return _tested(feature, math.nan, math.nan, math.nan, "all values are missing")
    if len(known) and len(values) and known[0] == known[-1] and (values == known[0]).all():
        if math.isnan(gap):
            return _tested(feature, math.nan, math.nan, math.nan, "constant, and the same")
        statistic, p_value = 0.0, 1.0
    if math.isnan(gap):
        return _tested(feature, statistic, p_value, statistic)
    if math.isnan(p_value):
        return _tested(feature, None, gap, moved)
    # Two looks at one feature, values and missing ones: the smaller p-value counts twice. One
    # whose effect is too small to matter must not hide the other.
    looks = [(statistic < min_effect, p_value, statistic), (moved < min_effect, gap, moved)]
    _, smaller, effect = min(looks)
    return _tested(feature, statistic, min(1.0, 2 * smaller), effect)


def _tested(
    feature: Feature, statistic: float | None, p_value: float, effect: float, why: str | None = None
) -> FeatureDrift:
    if why is not None:
        return FeatureDrift(feature.name, feature.kind, not_testable=why)
    return FeatureDrift(feature.name, feature.kind, statistic, p_value, None, effect)


def _adjusted(tested: list[FeatureDrift], rules: DriftRules) -> tuple[FeatureDrift, ...]:
    p_values = np.array([f.p_value for f in tested if f.p_value is not None])
    adjusted = iter(adjust_p_values(p_values, rules.correction).tolist())
    return tuple(
        feature if feature.p_value is None else _judged(feature, next(adjusted), rules)
        for feature in tested
    )


def _judged(feature: FeatureDrift, p_adjusted: float, rules: DriftRules) -> FeatureDrift:
    minimum = (
        rules.min_effect_numeric if feature.kind == "numeric" else rules.min_effect_categorical
    )
    is_drifted = p_adjusted < rules.alpha and (feature.effect or 0.0) >= minimum
    return FeatureDrift(
        feature.name,
        feature.kind,
        feature.statistic,
        feature.p_value,
        p_adjusted,
        feature.effect,
        is_drifted,
    )


def _verdict(
    features: tuple[FeatureDrift, ...], n_reference: int, n_current: int, rules: DriftRules
) -> DriftResult:
    testable = [f for f in features if f.not_testable is None]
    if not testable:
        reason = f"not testable: none of {len(features)} features"
        return DriftResult(False, None, rules.share, n_reference, n_current, features, reason)
    drifted = [f for f in testable if f.is_drifted]
    share = len(drifted) / len(testable)
    smallest = min(f.p_adjusted for f in testable if f.p_adjusted is not None)
    is_drifted = share > rules.share and smallest < rules.family_alpha
    sign = ">" if share > rules.share else "≤"
    reason = (
        f"drift_share {share:.2f} {sign} {rules.share:.2f}: "
        f"{len(drifted)} of {len(testable)} features"
    )
    if drifted:
        worst = max(drifted, key=lambda f: f.effect or 0.0)
        reason += f", worst {worst.name} ({_measure(worst)} {worst.effect:.2f})"
    if share > rules.share and not is_drifted:
        reason += f"; smallest corrected p {smallest:.3f} ≥ {rules.family_alpha}"
    return DriftResult(is_drifted, share, rules.share, n_reference, n_current, features, reason)


def _measure(feature: FeatureDrift) -> str:
    """What the feature's effect is a number of."""
    if feature.kind == "categorical":
        return "V"
    return "KS" if feature.effect == feature.statistic else "missing share moved"
