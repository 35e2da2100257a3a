"""When tests of single features add up to an alarm: the one rule of checks and of their replay."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from learning.drift_tests import adjust_p_values
from learning.problem import DriftRules
from learning.rows import Floats


def judge(
    p_values: Floats, effects: Floats, minimum: Floats, rules: DriftRules
) -> tuple[Floats, NDArray[np.bool_]]:
    """Corrected p-values [features], and which features drifted; nan where nothing was tested.

    A feature drifts when its corrected p-value is below ``alpha`` and its effect reaches
    ``minimum``.
    """
    adjusted = np.full(len(p_values), np.nan)
    tested = ~np.isnan(p_values)
    adjusted[tested] = adjust_p_values(p_values[tested], rules.correction)
    with np.errstate(invalid="ignore"):
        is_drifted = (adjusted < rules.alpha) & (effects >= minimum)
    return adjusted, is_drifted


def sounds(
    adjusted: Floats, is_drifted: NDArray[np.bool_], rules: DriftRules, share: float | None = None
) -> bool:
    """Whether these features alarm: too many of the tested ones drifted, and one beyond doubt.

    ``share`` takes the place of the rules' own. The smallest corrected p-value bounds the chance
    of any false alarm: under the complete null hypothesis the Benjamini–Hochberg procedure rejects
    anything at level α in at most a share α of checks.
    """
    tested = ~np.isnan(adjusted)
    if not tested.any():
        return False
    is_many = is_drifted[tested].mean() > (rules.share if share is None else share)
    return bool(is_many and adjusted[is_drifted].min() < rules.family_alpha)
