"""Joint drift: can a classifier tell the current window from the reference?

Tests of single features miss what moves between them, such as a correlation that turned. If a
classifier cannot tell the windows apart better than by chance, nothing that it can see moved.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats
from sklearn.ensemble import RandomForestClassifier
from threadpoolctl import threadpool_limits

from learning.problem import Feature
from learning.rows import Floats, Matrix

MOST_ROWS = 1_000
FEWEST_ROWS = 100
N_FOLDS = 4
N_NAMED = 5
N_TREES = 50
MISSING = -1e30
LEAST_AUC = 0.6


@dataclass(frozen=True)
class JointDrift:
    """Cross-validated AUC of telling the windows apart, with its interval.

    None where too few rows leave nothing to say. ``given_away_by`` are the features whose
    shuffling costs the classifier most AUC, with that loss.
    """

    is_drifted: bool
    auc: float | None
    low: float | None
    high: float | None
    given_away_by: tuple[tuple[str, float], ...]
    n_rows: int
    reason: str


def check_joint(
    reference: Matrix,
    current: Matrix,
    features: Sequence[Feature],
    inflation: float = 1.0,
    confidence: float = 0.99,
    seed: int = 0,
) -> JointDrift:
    """Train a domain classifier on both windows [n, features], each in time order.

    Folds are blocks in time, not rows drawn at random: a row's neighbours would give it away.
    ``inflation`` is how much more dependent rows vary than free ones; the interval is widened by
    it. The windows differ when the whole interval is above 1/2 and the AUC is at least 0.6.
    """
    left, right = (_thinned(side) for side in (reference, current))
    n = min(len(left), len(right))
    if n < FEWEST_ROWS:
        reason = f"not testable: {n} rows are fewer than {FEWEST_ROWS}"
        return JointDrift(False, None, None, None, (), n, reason)
    with threadpool_limits(1):
        areas, variances, losses = _folds(left, right, seed)
    auc = float(np.mean(areas))
    error = math.sqrt(sum(variances) * inflation) / len(areas)
    reach = float(stats.norm.ppf(0.5 + confidence / 2)) * error
    low, high = max(0.0, auc - reach), min(1.0, auc + reach)
    loss = np.mean(losses, axis=0)
    worst = [int(i) for i in np.argsort(-loss)[:N_NAMED] if loss[i] > 0]
    is_drifted = low > 0.5 and auc >= LEAST_AUC
    named = tuple((features[i].name, float(loss[i])) for i in worst) if is_drifted else ()
    sentence = f"a classifier tells the windows apart with AUC {auc:.2f} [{low:.2f}, {high:.2f}]"
    if named:
        sentence += f", by {', '.join(name for name, _ in named[:3])}"
    return JointDrift(is_drifted, auc, low, high, named, len(left) + len(right), sentence)


def _thinned(rows: Matrix) -> Matrix:
    if len(rows) > MOST_ROWS:
        rows = rows[np.linspace(0, len(rows) - 1, MOST_ROWS).astype(np.int64)]
    return np.where(np.isfinite(rows), rows, np.float32(MISSING)).astype(np.float32)


def _folds(left: Matrix, right: Matrix, seed: int) -> tuple[list[float], list[float], list[Floats]]:
    """AUC, its variance and each feature's loss, by fold."""
    areas, variances, losses = [], [], []
    x = np.vstack([left, right])
    y = np.repeat([0, 1], [len(left), len(right)])
    fold = np.concatenate([np.arange(len(side)) * N_FOLDS // len(side) for side in (left, right)])
    for number in range(N_FOLDS):
        held = fold == number
        forest = RandomForestClassifier(
            N_TREES,
            min_samples_leaf=10,
            max_features="sqrt",
            class_weight="balanced",
            random_state=seed + number,
            n_jobs=1,
        ).fit(x[~held], y[~held])
        area, variance = area_with_variance(y[held], _score(forest, x[held]))
        areas.append(area)
        variances.append(variance)
        losses.append(_losses(forest, x[held], y[held], area, seed))
    return areas, variances, losses


def _score(forest: RandomForestClassifier, x: Matrix) -> Floats:
    return np.asarray(forest.predict_proba(x)[:, 1])


def area_with_variance(y: Floats, score: Floats) -> tuple[float, float]:
    """AUC and its variance from the placements of each class's scores (DeLong et al. 1988)."""
    ours, theirs = np.sort(score[y == 1]), np.sort(score[y == 0])
    above = [
        (other.searchsorted(side, "left") + other.searchsorted(side, "right")) / 2 / len(other)
        for side, other in ((ours, theirs), (theirs, ours))
    ]
    variance = sum(float(place.var(ddof=1)) / len(place) for place in above)
    return float(above[0].mean()), variance


def _losses(forest: RandomForestClassifier, x: Matrix, y: Floats, area: float, seed: int) -> Floats:
    """AUC lost by shuffling each of the features that the forest uses most; 0 of all others."""
    rng = np.random.default_rng(seed)
    found = np.zeros(x.shape[1])
    for index in np.argsort(-forest.feature_importances_)[: 2 * N_NAMED]:
        shuffled = x.copy()
        shuffled[:, index] = rng.permutation(shuffled[:, index])
        found[index] = area - area_with_variance(y, _score(forest, shuffled))[0]
    return found
