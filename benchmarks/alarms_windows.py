"""Windows with and without drift, and what the rules that are commonly used say of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats
from scipy.signal import lfilter

from learning.drift_columns import Looks
from learning.drift_ks import ks_p_value
from learning.problem import Feature
from learning.rows import Matrix, encode_features

KINDS = ("independent", "correlated", "heavy-tailed", "autocorrelated")
MEMORY = 0.9  # of autocorrelated rows: each keeps nine tenths of the one before
COMMON = 0.5  # correlation of correlated features
DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


def draw(kind: str, n: int, n_features: int, rng: np.random.Generator) -> Matrix:
    """Rows [n, features] without drift, each feature of variance 1 (of none, if heavy-tailed)."""
    if kind == "heavy-tailed":
        u = rng.random((n, n_features))  # Student's t of freedom 2, whose quantiles are these
        return ((2 * u - 1) / np.sqrt(2 * u * (1 - u))).astype(np.float32)
    if kind == "autocorrelated":
        noise = rng.standard_normal((n + 200, n_features), dtype=np.float32)
        recursion = np.array([1, -MEMORY], dtype=np.float32)
        noise *= np.float32(np.sqrt(1 - MEMORY**2))
        return np.asarray(lfilter(recursion[:1], recursion, noise, axis=0)[200:])
    rows = rng.standard_normal((n, n_features), dtype=np.float32)
    if kind == "correlated":
        shared = rng.standard_normal((n, 1), dtype=np.float32)
        rows = np.sqrt(np.float32(1 - COMMON)) * rows + np.sqrt(np.float32(COMMON)) * shared
    return np.asarray(rows)


def raw_p_values(looks: Looks) -> np.ndarray:
    """P-values of KS as if each row were drawn anew, uncorrected."""
    n, m = looks.known.astype(np.float64)
    return np.asarray(ks_p_value(looks.gaps, n * m / (n + m)))


def any_raw(p_values: np.ndarray) -> bool:
    """An alarm as soon as any p-value is below 0.05."""
    return bool((p_values < 0.05).any())


def tenth_raw(p_values: np.ndarray) -> bool:
    """An alarm when more than a tenth of the features have p < 0.05."""
    return bool((p_values < 0.05).mean() > 0.1)


def evidently_default(reference: Matrix, current: Matrix) -> bool:
    """What Evidently 0.7's drift preset says of numbers by default, computed directly.

    With a reference of more than 1,000 rows a column drifts when its Wasserstein distance is at
    least a tenth of the reference's standard deviation, with fewer when KS gives p < 0.05; the
    data drift when half of the columns do.
    """
    drifted = 0
    for left, right in zip(reference.T, current.T, strict=True):
        if len(reference) > 1_000:
            distance = stats.wasserstein_distance(left, right) / max(float(np.std(left)), 0.001)
            drifted += distance >= 0.1
        else:
            drifted += stats.ks_2samp(left, right).pvalue < 0.05
    return bool(drifted >= 0.5 * reference.shape[1])


def upper_bound(n_alarms: int, n: int) -> float:
    """95% upper bound of a share (Clopper and Pearson 1934), one-sided."""
    return 1.0 if n_alarms >= n else float(stats.beta.ppf(0.95, n_alarms + 1, n - n_alarms))


def read(name: str, drop: Sequence[str]) -> tuple[Matrix, list[Feature]]:
    """A real data set, encoded: text and columns of few numbers as they come."""
    frame = pd.read_csv(DATA / f"{name}.csv.gz").drop(columns=list(drop))
    features = []
    for column in frame:
        values = frame[column]
        if pd.api.types.is_numeric_dtype(values):
            features.append(Feature(name=str(column)))
            continue
        known = tuple(values.astype(str).value_counts().index[:50])
        frame[column] = values.astype(str)
        features.append(Feature(name=str(column), kind="categorical", categories=known))
    return encode_features(frame, features), features
