"""Eight numeric features and a target that is logistic in them: the textbook case."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learning.generators.draws import Columns, Floats, Source

NAMES = tuple(f"x{place}" for place in range(1, 9))
WEIGHTS = np.array([1.8, -1.4, 1.1, -0.9, 0.6, 0.4, 0.0, 0.0])
# After a full concept drift the two strongest inputs have swapped signs and an idle one matters.
NEW_WEIGHTS = np.array([-0.6, 1.2, 1.1, -0.9, 0.6, 0.4, 1.6, 0.0])
SHIFT = np.array([0.8, 0.8, -0.7, -0.7, 0.0, 0.0, 0.0, 0.0])


def features(rng: np.random.Generator, n: int, shift: Floats) -> Columns:
    """Standard normal columns; neighbours correlate by 0.3; four of them move by about 0.8 σ."""
    values = rng.standard_normal((n, len(NAMES)))
    values[:, 1::2] = 0.3 * values[:, 0::2] + np.sqrt(1 - 0.3**2) * values[:, 1::2]
    values += shift[:, None] * SHIFT
    return {name: values[:, place] for place, name in enumerate(NAMES)}


def log_odds(columns: Mapping[str, NDArray[Any]], change: Floats) -> Floats:
    """Weighted sum of the inputs, with weights on the way from WEIGHTS to NEW_WEIGHTS."""
    values = np.column_stack([columns[name] for name in NAMES])
    weights = WEIGHTS + change[:, None] * (NEW_WEIGHTS - WEIGHTS)
    return np.asarray((values * weights).sum(axis=1) - 0.3)


SOURCE = Source(features, log_odds, timedelta(minutes=1), "row")
