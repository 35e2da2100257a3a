"""Data drift: is the current window drawn from the same distribution as the reference?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from learning.drift_calibration import FreeRows, free_rows
from learning.drift_columns import Look, look_at_all
from learning.drift_reference import ReferenceStatistics, summarise
from learning.drift_result import (
    DriftResult,
    FeatureDrift,
    GroupDrift,
    effect_name,
    judged,
    verdict,
)
from learning.drift_tests import chi_square, jensen_shannon, ks_p_value
from learning.problem import DriftRules, Feature
from learning.rows import Matrix

__all__ = ["DriftResult", "FeatureDrift", "GroupDrift", "check_drift", "effect_name"]

FEWEST_FREE_ROWS = 8.0


def check_drift(
    reference: Matrix | ReferenceStatistics,
    current: Matrix,
    features: Sequence[Feature],
    rules: DriftRules,
) -> DriftResult:
    """Compare two encoded windows feature by feature and say whether the inputs have drifted.

    The reference is a matrix, or what was kept of one. A feature drifts when its corrected
    p-value is below ``alpha`` and its effect size reaches the minimum; the alarm sounds when more
    than ``share`` of the testable features (or ``group_share`` of a group's) drift and the
    smallest corrected p-value is below ``family_alpha``. Sorting a copy of the window's columns,
    16 at a time, is all the memory that a check takes.
    """
    kept = reference if isinstance(reference, ReferenceStatistics) else None
    n_reference = kept.n_rows if kept is not None else len(reference)  # type: ignore[arg-type]
    n_current = len(current)
    if min(n_reference, n_current) < rules.min_rows:
        why = f"{min(n_reference, n_current)} rows are fewer than {rules.min_rows}"
        untested = tuple(_untested(feature, why) for feature in features)
        return DriftResult(
            False, None, rules.share, n_reference, n_current, untested, f"not testable: {why}"
        )
    if kept is None:
        kept = summarise(reference, features)  # type: ignore[arg-type]
    looks = look_at_all(kept, current, features)
    tested = _test_all(kept, looks, features, n_current, rules)
    return verdict(judged(tested, rules), n_reference, n_current, rules)


def _untested(feature: Feature, why: str) -> FeatureDrift:
    return FeatureDrift(feature.name, feature.kind, not_testable=why, group=feature.group)


def _test_all(
    kept: ReferenceStatistics,
    looks: Sequence[Look],
    features: Sequence[Feature],
    n_current: int,
    rules: DriftRules,
) -> list[FeatureDrift]:
    position = {name: place for place, name in enumerate(kept.names)}
    places = np.array([position.get(feature.name, -1) for feature in features], dtype=np.int64)
    sides = [np.array([look.n_known[side] for look in looks], dtype=float) for side in (0, 1)]
    free = free_rows(kept.calibration, places, (sides[0], sides[1]), (kept.n_rows, n_current))
    p_values = ks_p_value(np.array([look.gap for look in looks]), free.both)
    return [
        _test(feature, look, float(p_values[index]), index, free, rules)
        for index, (feature, look) in enumerate(zip(features, looks, strict=True))
    ]


def _test(
    feature: Feature, look: Look, p_value: float, index: int, free: FreeRows, rules: DriftRules
) -> FeatureDrift:
    if look.not_testable is not None:
        return _untested(feature, look.not_testable)
    n_free = float(free.current[index])
    if n_free < FEWEST_FREE_ROWS <= look.n_known[1]:
        why = f"its {look.n_known[1]} rows depend on each other and say no more than {n_free:.0f}"
        return _untested(feature, why)
    base = FeatureDrift(feature.name, feature.kind, free_rows=n_free, group=feature.group)
    if look.counts is not None:
        return _test_category(base, look, float(free.values[index]))
    return _test_number(base, look, p_value, float(free.missing[index]), rules.min_effect_numeric)


def _test_category(base: FeatureDrift, look: Look, inflation: float) -> FeatureDrift:
    assert look.counts is not None
    statistic, p_value, _ = chi_square(look.counts[0], look.counts[1], inflation)
    if math.isnan(p_value):
        return replace(base, not_testable="too few rows outside of one category", free_rows=None)
    return replace(
        base,
        test="chi-square",
        statistic=statistic,
        p_value=p_value,
        effect=jensen_shannon(*look.counts),
        missing_change=_missing_change(look, look.n_known),
    )


def _missing_change(look: Look, sizes: tuple[int, int]) -> float:
    return look.n_missing[1] / max(sizes[1], 1) - look.n_missing[0] / max(sizes[0], 1)


def _test_number(
    base: FeatureDrift, look: Look, p_value: float, inflation: float, min_effect: float
) -> FeatureDrift:
    """Two looks at one number, values and missing ones: the smaller p-value counts twice.

    A look whose effect is too small to matter must not hide the other.
    """
    sizes = look.n_known[0] + look.n_missing[0], look.n_known[1] + look.n_missing[1]
    moved = _missing_change(look, sizes)
    values = replace(
        base, test="KS", statistic=look.gap, p_value=p_value, effect=look.gap, missing_change=moved
    )
    if moved == 0:
        return values
    counts = [
        np.array([look.n_known[side], look.n_missing[side]], dtype=np.float64) for side in (0, 1)
    ]
    statistic, gap, _ = chi_square(counts[0], counts[1], inflation)
    lost = replace(
        base,
        test="missing share",
        statistic=statistic,
        p_value=gap,
        effect=abs(moved),
        missing_change=moved,
    )
    if math.isnan(look.gap):
        return lost
    first = min((values, lost), key=lambda f: ((f.effect or 0) < min_effect, f.p_value))
    return replace(first, p_value=min(1.0, 2 * (first.p_value or 0.0)))
