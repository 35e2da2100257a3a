"""Rows that no model is ever trained on, so that a later one can be asked what it forgot."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_SCALE = 2.0**64


def is_exam(times: NDArray[np.datetime64], share: float) -> NDArray[np.bool_]:
    """Which rows [n] are kept from training: about a ``share``, told by nothing but their time.

    The same for every run and every version; a larger share holds the rows of a smaller one, and
    rows of one time are never divided. The mixing is that of SplitMix64 (Steele et al. 2014).
    """
    bits = times.astype("datetime64[us]").astype(np.int64).astype(np.uint64)
    with np.errstate(over="ignore"):
        bits = bits + np.uint64(0x9E3779B97F4A7C15)
        bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        bits = bits ^ (bits >> np.uint64(31))
    return np.asarray(bits.astype(np.float64) < share * _SCALE)
