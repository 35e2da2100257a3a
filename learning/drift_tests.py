"""Tests and distances of counts, and the correction for testing many features."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special

from learning.rows import Floats

Counts = Floats | NDArray[np.int64]


def chi_square(
    reference: Counts, current: Counts, inflation: float = 1.0
) -> tuple[float, float, int]:
    """Pearson's chi-square statistic, p-value and number of categories of two rows of counts.

    Categories that neither sample has do not count; categories expected fewer than 5 times in
    the smaller sample are pooled, since the limit law fails there (Cochran 1954). ``inflation``
    is how much more the counts vary than those of free rows; the statistic is divided by it
    (Rao and Scott 1981). Undefined (nan, nan) when fewer than two categories are left.
    """
    table = _pooled(np.vstack([reference, current]).astype(np.float64))
    total = table.sum()
    if table.shape[1] < 2 or not table.sum(axis=1).all():
        return math.nan, math.nan, table.shape[1]
    expected = table.sum(axis=1, keepdims=True) * table.sum(axis=0, keepdims=True) / total
    statistic = float(((table - expected) ** 2 / expected).sum()) / inflation
    return statistic, float(special.chdtrc(table.shape[1] - 1, statistic)), table.shape[1]


def two_by_two(table: tuple[Floats, Floats, Floats, Floats], inflation: Floats) -> Any:
    """Pearson's chi-square statistics and p-values of many tables ((a, b), (c, d)) at once.

    Divided by ``inflation`` as in `chi_square`; nan where a row or a column is empty.
    """
    a, b, c, d = table
    margins = (a + b) * (c + d) * (a + c) * (b + d)
    with np.errstate(invalid="ignore", divide="ignore"):
        statistic = (a + b + c + d) * (a * d - b * c) ** 2 / margins / inflation
    return statistic, special.chdtrc(1, statistic)


def _pooled(table: Floats) -> Floats:
    sums = table.sum(axis=0)
    table, sums = table[:, sums > 0], sums[sums > 0]
    smaller = table.sum(axis=1).min() / max(table.sum(), 1)
    rare = sums * smaller < 5
    if rare.sum() < 2:
        return table
    return np.column_stack([table[:, ~rare], table[:, rare].sum(axis=1)])


def jensen_shannon(reference: Counts, current: Counts) -> float:
    """Jensen–Shannon distance of two rows of counts, 0 (the same shares) to 1 (disjoint).

    The root of the divergence to base 2 (Lin 1991; Endres and Schindelin 2003); it does not
    depend on how large the samples are. Undefined (nan) when one is empty.
    """
    if not reference.sum() or not current.sum():
        return math.nan
    p, q = reference / reference.sum(), current / current.sum()
    middle = (p + q) / 2
    divergence = (special.rel_entr(p, middle).sum() + special.rel_entr(q, middle).sum()) / 2
    return math.sqrt(min(1.0, max(0.0, float(divergence) / math.log(2))))


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
