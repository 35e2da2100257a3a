"""Labels that contradict a model in one part of the rows while the rest still agree with it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from learning.metrics import roc_auc
from learning.problem import Feature
from learning.rows import Floats, Matrix

Mask = NDArray[np.bool_]

ALPHA = 0.001
LEAST_ROWS = 50
MOST_CATEGORIES = 20


@dataclass(frozen=True)
class Reversal:
    """Where labels run against the score: rows and ROC AUC inside and outside of that part."""

    where: str
    n_rows: int
    auc: float
    n_rest: int
    rest_auc: float


def find_reversal(
    x: Matrix, y: Floats, score: Floats, features: Sequence[Feature]
) -> Reversal | None:
    """The part of rows ``x`` [n, features] in which higher scores [n] go with fewer positives [n].

    A part is a category, or what lies below or above a tenth of a number. The older half of the
    rows chooses the one where label and score are most surely against each other. In the newer
    half, which had no say in it, the ROC AUC must be below one half there and above it elsewhere,
    each at 1 in 1,000 (Mann and Whitney 1947). None where it is not so, or nobody can tell; a
    world that turned round everywhere is none either.
    """
    half = len(y) // 2
    if half < 2 * LEAST_ROWS:
        return None
    named = list(_parts(x, features))
    if not named:
        return None
    masks = np.array([rows for _, rows in named])
    place = _most_against(masks[:, :half], y[:half], score[:half])
    inside, y, score = masks[place, half:], y[half:], score[half:]
    if not (_runs(y[inside], score[inside], "less") and _runs(y[~inside], score[~inside])):
        return None
    (n_in, auc), (n_out, rest) = (
        (int(rows.sum()), roc_auc(y[rows], score[rows])) for rows in (inside, ~inside)
    )
    return Reversal(named[place][0], n_in, auc, n_out, rest)


def describe_reversal(found: Reversal, name: str) -> str:
    """The finding in one sentence; ``name`` is the model that is contradicted."""
    return (
        f"where {found.where} the labels of /feedback contradict {name}: ROC AUC {found.auc:.2f} "
        f"on {found.n_rows} rows, {found.rest_auc:.2f} on the {found.n_rest} others; nothing else "
        "says whether the world turned round there or who labels it"
    )


def _parts(x: Matrix, features: Sequence[Feature]) -> Iterator[tuple[str, Mask]]:
    """Names and rows [n] of the parts that are looked at."""
    for place, feature in enumerate(features):
        column = x[:, place]
        if feature.kind == "numeric":
            known = column[np.isfinite(column)]
            cuts = np.quantile(known, np.arange(1, 10) / 10) if len(known) else known
            for cut in np.unique(cuts):
                yield f"{feature.name} ≤ {cut:.4g}", column <= cut
                yield f"{feature.name} > {cut:.4g}", column > cut
            yield f"{feature.name} is missing", np.isnan(column)
        else:
            for code, name in enumerate(feature.categories[:MOST_CATEGORIES]):
                yield f"{feature.name} is {name}", column == code
            yield f"{feature.name} is missing or unseen", column < 0


def _most_against(masks: NDArray[np.bool_], y: Floats, score: Floats) -> int:
    """The part [parts, n] with the lowest correlation of label and rank, in standard errors."""
    rank = stats.rankdata(score) / len(score)
    moments = np.column_stack([np.ones(len(y)), y, rank, y * rank, rank**2])
    n, label, ranks, both, squares = (masks.astype(np.float64) @ moments).T
    size = np.maximum(n, 1)
    covariance = both / size - label * ranks / size**2
    spread = label / size * (1 - label / size) * (squares / size - (ranks / size) ** 2)
    z = np.sqrt(size) * covariance / np.sqrt(np.maximum(spread, 1e-12))
    z[(n < LEAST_ROWS / 2) | (n > len(y) - LEAST_ROWS / 2)] = np.inf
    return int(z.argmin())


def _runs(y: Floats, score: Floats, way: str = "greater") -> bool:
    """Whether positives have higher (or by ``way`` lower) scores beyond chance."""
    positive, negative = score[y > 0.5], score[y <= 0.5]
    if len(y) < LEAST_ROWS or not len(positive) or not len(negative):
        return False
    return bool(stats.mannwhitneyu(positive, negative, alternative=way).pvalue < ALPHA)
