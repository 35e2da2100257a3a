"""What a drift check found: each feature, each group, the verdict and its sentence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from learning.drift_verdict import sounds
from learning.problem import DriftRules, FeatureKind
from learning.rows import Floats

DriftTest = Literal["KS", "chi-square", "missing share"]
GroupStatus = Literal["normal", "warning", "alarm"]


@dataclass(slots=True)  # frozen ones take four times as long to make, hundreds with each check
class FeatureDrift:
    """One feature's test. Numbers are None where ``not_testable`` says why.

    ``test`` names what ``statistic``, ``p_value`` and ``effect`` belong to. The effect is the KS
    statistic of a number, the Jensen–Shannon distance of a category, or how far the share of
    missing values moved. ``missing_change`` is that move with its sign, whatever was tested.
    ``free_rows`` is what the current window is worth in rows drawn anew, less than its size
    where rows depend on each other.
    """

    name: str
    kind: FeatureKind
    statistic: float | None = None
    p_value: float | None = None
    p_adjusted: float | None = None
    effect: float | None = None
    is_drifted: bool = False
    not_testable: str | None = None
    test: DriftTest | None = None
    missing_change: float | None = None
    free_rows: float | None = None
    group: str | None = None


@dataclass(frozen=True)
class GroupDrift:
    """A group of features: ``drift_share`` is None when none of them could be tested."""

    name: str
    status: GroupStatus
    drift_share: float | None
    n_drifted: int
    n_testable: int
    worst: str | None


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
    groups: tuple[GroupDrift, ...] = ()


def verdict(
    features: tuple[FeatureDrift, ...], n_reference: int, n_current: int, rules: DriftRules
) -> DriftResult:
    groups = _groups(features, rules)
    testable = [f for f in features if f.not_testable is None]
    if not testable:
        reason = f"not testable: none of {len(features)} features"
        return DriftResult(
            False, None, rules.share, n_reference, n_current, features, reason, groups
        )
    share = sum(f.is_drifted for f in testable) / len(testable)
    alarmed = [group for group in groups if group.status == "alarm"]
    is_drifted = _sounds(testable, rules, rules.share) or bool(alarmed)
    reason = _reason(testable, share, alarmed, rules)
    return DriftResult(
        is_drifted, share, rules.share, n_reference, n_current, features, reason, groups
    )


def _sounds(features: Sequence[FeatureDrift], rules: DriftRules, share: float) -> bool:
    adjusted: Floats = np.array([f.p_adjusted for f in features], dtype=np.float64)
    return sounds(adjusted, np.array([f.is_drifted for f in features], dtype=bool), rules, share)


def _groups(features: Sequence[FeatureDrift], rules: DriftRules) -> tuple[GroupDrift, ...]:
    """Each group's own status, in the order in which the groups appear."""
    names = dict.fromkeys(f.group for f in features if f.group is not None)
    return tuple(_group(name, [f for f in features if f.group == name], rules) for name in names)


def _group(name: str, features: Sequence[FeatureDrift], rules: DriftRules) -> GroupDrift:
    testable = [f for f in features if f.not_testable is None]
    drifted = [f for f in testable if f.is_drifted]
    if not testable:
        return GroupDrift(name, "normal", None, 0, 0, None)
    share = len(drifted) / len(testable)
    status: GroupStatus = "normal"
    if share > rules.share:
        is_alarm = _sounds(testable, rules, max(rules.share, rules.group_share))
        status = "alarm" if is_alarm else "warning"
    worst = max(drifted, key=lambda f: f.effect or 0.0).name if drifted else None
    return GroupDrift(name, status, share, len(drifted), len(testable), worst)


def _reason(
    testable: Sequence[FeatureDrift],
    share: float,
    alarmed: Sequence[GroupDrift],
    rules: DriftRules,
) -> str:
    drifted = [f for f in testable if f.is_drifted]
    sign = ">" if share > rules.share else "≤"
    reason = (
        f"drift_share {share:.2f} {sign} {rules.share:.2f}: "
        f"{len(drifted)} of {len(testable)} features"
    )
    if drifted:
        worst = max(drifted, key=lambda f: f.effect or 0.0)
        reason += f", worst {worst.name} ({effect_name(worst)} {worst.effect:.2f})"
    if share <= rules.share and alarmed:
        named = ", ".join(f"{g.name} ({g.n_drifted} of {g.n_testable})" for g in alarmed)
        reason += f"; alarm of {named}"
    smallest = min((f.p_adjusted or 0.0 for f in drifted), default=1.0)
    if share > rules.share and smallest >= rules.family_alpha:
        reason += f"; smallest corrected p {smallest:.3f} ≥ {rules.family_alpha}"
    return reason


def effect_name(feature: FeatureDrift) -> str:
    """What the feature's effect is a number of, as sentences name it."""
    return "JS" if feature.test == "chi-square" else feature.test or "effect"
