"""What the generators share: their interface and a few ways to draw a column."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Columns = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Source:
    """One shipped generator.

    ``features(rng, n, shift)`` draws the columns of n rows, in order, P(X) moved by ``shift`` [n].
    ``log_odds(columns, change)`` is the log odds of the positive class of each row, the relation
    of inputs to target moved by ``change`` [n]. Both amounts are 0 without drift and 1 for a
    clearly visible one. ``missing`` is the share of values that are lost, by column.
    """

    features: Callable[[np.random.Generator, int, Floats], Columns]
    log_odds: Callable[[Mapping[str, NDArray[Any]], Floats], Floats]
    step: timedelta
    key_prefix: str
    missing: Mapping[str, float] = field(default_factory=dict)


def sigmoid(log_odds: Floats) -> Floats:
    """Probability of some log odds."""
    return np.asarray(1.0 / (1.0 + np.exp(-log_odds)))


def pick(
    rng: np.random.Generator,
    names: Sequence[str],
    before: Sequence[float],
    after: Sequence[float],
    shift: Floats,
) -> NDArray[np.object_]:
    """One category per row, with shares that go from ``before`` to ``after`` as shift goes to 1."""
    amount = np.clip(shift, 0.0, 1.0)[:, None]
    shares = np.asarray(before) * (1 - amount) + np.asarray(after) * amount
    edges = np.cumsum(shares, axis=1)[:, :-1]
    place = (rng.random(len(shift))[:, None] > edges).sum(axis=1)
    chosen: NDArray[np.object_] = np.asarray(names, dtype=object)[place]
    return chosen


def lookup(values: NDArray[Any], effects: Mapping[str, float]) -> Floats:
    """The effect of each row's category."""
    total = np.zeros(len(values))
    for name, effect in effects.items():
        total[values == name] = effect
    return total
