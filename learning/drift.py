"""Data drift: is the current window drawn from the same distribution as the reference?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np

from learning.drift_calibration import FreeRows, free_rows
from learning.drift_columns import Look, look_at_all
from learning.drift_reference import ReferenceStatistics, summarise
from learning.drift_result import (
    DriftResult,
    DriftTest,
    FeatureDrift,
    GroupDrift,
    effect_name,
    judged,
    verdict,
)
from learning.drift_tests import chi_square, jensen_shannon, ks_p_value, two_by_two
from learning.problem import DriftRules, Feature
from learning.rows import Floats, Matrix

__all__ = [
    "DriftResult",
    "FeatureDrift",
    "GroupDrift",
    "check_drift",
    "effect_name",
    "judge_looks",
]

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
    return judge_looks(kept, look_at_all(kept, current, features), features, n_current, rules)


def judge_looks(
    kept: ReferenceStatistics,
    looks: Sequence[Look],
    features: Sequence[Feature],
    n_current: int,
    rules: DriftRules,
) -> DriftResult:
    """The result of looks at all columns of a current window of so many rows."""
    tested = _test_all(kept, looks, features, n_current, rules)
    return verdict(judged(tested, rules), kept.n_rows, n_current, rules)


def _untested(feature: Feature, why: str) -> FeatureDrift:
    return FeatureDrift(feature.name, feature.kind, not_testable=why, group=feature.group)


@dataclass(frozen=True)
class _Numbers:
    """Tests of all features at once, as if each were a number [features]."""

    free: FreeRows
    p_values: Floats
    missing: Floats
    missing_p_values: Floats


def _test_all(
    kept: ReferenceStatistics,
    looks: Sequence[Look],
    features: Sequence[Feature],
    n_current: int,
    rules: DriftRules,
) -> list[FeatureDrift]:
    position = {name: place for place, name in enumerate(kept.names)}
    places = np.array([position.get(feature.name, -1) for feature in features], dtype=np.int64)
    known = np.array([look.n_known for look in looks], dtype=np.float64).reshape(-1, 2)
    lost = np.array([look.n_missing for look in looks], dtype=np.float64).reshape(-1, 2)
    free = free_rows(kept.calibration, places, (known[:, 0], known[:, 1]), (kept.n_rows, n_current))
    p_values = ks_p_value(np.array([look.gap for look in looks], dtype=np.float64), free.both)
    table = known[:, 0], lost[:, 0], known[:, 1], lost[:, 1]
    numbers = _Numbers(free, p_values, *two_by_two(table, free.missing))
    return [
        _test(feature, look, index, numbers, rules)
        for index, (feature, look) in enumerate(zip(features, looks, strict=True))
    ]


def _test(
    feature: Feature, look: Look, index: int, numbers: _Numbers, rules: DriftRules
) -> FeatureDrift:
    if look.not_testable is not None:
        return _untested(feature, look.not_testable)
    n_free = float(numbers.free.current[index])
    if n_free < FEWEST_FREE_ROWS <= look.n_known[1]:
        why = f"its {look.n_known[1]} rows depend on each other and say no more than {n_free:.0f}"
        return _untested(feature, why)
    if look.counts is not None:
        return _test_category(feature, look, n_free, float(numbers.free.values[index]))
    return _test_number(feature, look, index, numbers, rules.min_effect_numeric)


def _test_category(feature: Feature, look: Look, n_free: float, inflation: float) -> FeatureDrift:
    assert look.counts is not None
    statistic, p_value, _ = chi_square(look.counts[0], look.counts[1], inflation)
    if math.isnan(p_value):
        return _untested(feature, "too few rows outside of one category")
    return FeatureDrift(
        name=feature.name,
        kind=feature.kind,
        test="chi-square",
        statistic=statistic,
        p_value=p_value,
        effect=jensen_shannon(*look.counts),
        missing_change=_missing_change(look, look.n_known),
        free_rows=n_free,
        group=feature.group,
    )


def _missing_change(look: Look, sizes: tuple[int, int]) -> float:
    return look.n_missing[1] / max(sizes[1], 1) - look.n_missing[0] / max(sizes[0], 1)


def _test_number(
    feature: Feature, look: Look, index: int, numbers: _Numbers, min_effect: float
) -> FeatureDrift:
    """Two looks at one number, values and missing ones: the smaller p-value counts twice.

    A look whose effect is too small to matter must not hide the other.
    """
    sizes = look.n_known[0] + look.n_missing[0], look.n_known[1] + look.n_missing[1]
    moved = _missing_change(look, sizes)
    values = (look.gap < min_effect, float(numbers.p_values[index]), "KS", look.gap, look.gap)
    chosen, n_looks = values, 1
    if moved != 0:
        p_lost, statistic = numbers.missing_p_values[index], numbers.missing[index]
        size = abs(moved)
        lost = (size < min_effect, float(p_lost), "missing share", float(statistic), size)
        is_alone = math.isnan(look.gap)
        chosen = lost if is_alone else min(values, lost)
        n_looks = 1 if is_alone else 2
    _, p_value, test, statistic, effect = chosen
    return FeatureDrift(
        name=feature.name,
        kind=feature.kind,
        test=cast(DriftTest, test),
        statistic=statistic,
        p_value=min(1.0, n_looks * p_value),
        effect=effect,
        missing_change=moved,
        free_rows=float(numbers.free.current[index]),
        group=feature.group,
    )
