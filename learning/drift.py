"""Data drift: is the current window drawn from the same distribution as the reference?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from learning.drift_calibration import FreeRows, free_rows
from learning.drift_columns import Counts, Looks, look_at_all
from learning.drift_ks import ks_p_value
from learning.drift_reference import ReferenceStatistics, summarise
from learning.drift_result import (
    DriftResult,
    FeatureDrift,
    GroupDrift,
    effect_name,
    verdict,
)
from learning.drift_tests import chi_square, jensen_shannon, two_by_two
from learning.drift_verdict import judge
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
    smallest corrected p-value is below ``family_alpha``. A sorted copy of the window's columns,
    of 2,000,000 values at a time or of 32 columns, is about all the memory that a check takes.
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
    looks: Looks,
    features: Sequence[Feature],
    n_current: int,
    rules: DriftRules,
) -> DriftResult:
    """The result of looks at all columns of a current window of so many rows."""
    tests = _test_all(kept, looks, features, n_current, rules)
    return verdict(_judged(tests, features, rules), kept.n_rows, n_current, rules)


def _untested(feature: Feature, why: str) -> FeatureDrift:
    return FeatureDrift(feature.name, feature.kind, not_testable=why, group=feature.group)


@dataclass(frozen=True)
class _Tests:
    """Tests of all features [features]; ``untested`` says by place why there is none."""

    names: NDArray[np.object_]
    statistics: Floats
    p_values: Floats
    effects: Floats
    missing_change: Floats
    free_rows: Floats
    untested: dict[int, str]


def _test_all(
    kept: ReferenceStatistics,
    looks: Looks,
    features: Sequence[Feature],
    n_current: int,
    rules: DriftRules,
) -> _Tests:
    position = {name: place for place, name in enumerate(kept.names)}
    places = np.array([position.get(feature.name, -1) for feature in features], dtype=np.int64)
    known = looks.known.astype(np.float64)
    free = free_rows(kept.calibration, places, (known[0], known[1]), (kept.n_rows, n_current))
    tests = _test_numbers(looks, known, free, rules.min_effect_numeric)
    too_few = (free.current < FEWEST_FREE_ROWS) & (known[1] >= FEWEST_FREE_ROWS)
    for place in np.flatnonzero(too_few).tolist():
        n_rows, n_free = looks.known[1, place], free.current[place]
        why = f"its {n_rows} rows depend on each other and say no more than {n_free:.0f}"
        tests.untested.setdefault(place, why)
    for place, counts in looks.counts.items():
        if place not in tests.untested:
            _test_category(tests, place, counts, float(free.values[place]))
    return tests


def _test_numbers(looks: Looks, known: Floats, free: FreeRows, min_effect: float) -> _Tests:
    """Two looks at each number, values and missing ones: the smaller p-value counts twice.

    A look whose effect is too small to matter must not hide the other. All features are tested as
    if they were numbers.
    """
    lost = looks.missing.astype(np.float64)
    share = lost / np.maximum(known + lost, 1)
    moved = share[1] - share[0]
    p_values = ks_p_value(looks.gaps, free.both, free.paths)
    statistics, p_lost = two_by_two((known[0], lost[0], known[1], lost[1]), free.missing)
    is_alone = np.isnan(looks.gaps)
    is_small, lost_is_small = looks.gaps < min_effect, np.abs(moved) < min_effect
    is_first = (lost_is_small < is_small) | ((lost_is_small == is_small) & (p_lost < p_values))
    is_lost = (moved != 0) & (is_alone | is_first)
    n_looks = np.where((moved != 0) & ~is_alone, 2, 1)
    return _Tests(
        names=np.where(is_lost, "missing share", "KS").astype(object),
        statistics=np.where(is_lost, statistics, looks.gaps),
        p_values=np.minimum(1.0, n_looks * np.where(is_lost, p_lost, p_values)),
        effects=np.where(is_lost, np.abs(moved), looks.gaps),
        missing_change=moved,
        free_rows=free.current,
        untested=dict(looks.not_testable),
    )


def _test_category(
    tests: _Tests, place: int, counts: tuple[Counts, Counts], inflation: float
) -> None:
    """Its counts hold all rows; the last of them the missing and unseen ones."""
    statistic, p_value, _ = chi_square(*counts, inflation)
    if math.isnan(p_value):
        tests.untested[place] = "too few rows outside of one category"
        return
    tests.names[place] = "chi-square"
    tests.statistics[place], tests.p_values[place] = statistic, p_value
    tests.effects[place] = jensen_shannon(*counts)
    before, now = (float(side[-1] / max(side.sum(), 1)) for side in counts)
    tests.missing_change[place] = now - before


def _judged(
    tests: _Tests, features: Sequence[Feature], rules: DriftRules
) -> tuple[FeatureDrift, ...]:
    minimum = np.where(
        [feature.kind == "numeric" for feature in features],
        rules.min_effect_numeric,
        rules.min_effect_categorical,
    )
    tests.p_values[list(tests.untested)] = math.nan
    adjusted, is_drifted = judge(tests.p_values, tests.effects, minimum, rules)
    columns = (
        tests.statistics, tests.p_values, adjusted, tests.effects, is_drifted, tests.names,
        tests.missing_change, tests.free_rows,
    )  # fmt: skip
    found = zip(features, *(column.tolist() for column in columns), strict=True)
    return tuple(
        _untested(feature, tests.untested[place])
        if place in tests.untested
        else FeatureDrift(
            feature.name, feature.kind, statistic, p_value, p_adjusted, effect, drifted, None,
            test, missing_change, n_free, feature.group,
        )
        for place, (
            feature, statistic, p_value, p_adjusted, effect, drifted, test, missing_change, n_free,
        ) in enumerate(found)
    )  # fmt: skip
