"""What the law of Kolmogorov–Smirnov is where rows depend on each other."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from learning.rows import Floats

N_BINS = 32
FEWEST_BLOCKS = 16
HIGHEST = 10.0  # of √n·D; beyond it all p-values are 0


@dataclass(frozen=True)
class Paths:
    """How the difference of two distribution functions turns from one quantile to the next.

    ``angles`` [features, steps] are those between neighbours, the arccos of the correlation of the
    differences there; ``heights`` are t·(1-t), the larger of both. NaN where they are not known.
    """

    angles: Floats
    heights: Floats

    def p_value(self, scaled: Floats, law: Floats) -> Floats:
        """P-value of √n·D [..., features], n in free rows, from Kolmogorov's; nan if not known.

        A Gaussian process passes a limit where it stands highest on average, at the middle, or by
        crossing the limit on the way to or from there (Rice 1945; Davies 1977). The difference of
        free rows turns all the time, and Kolmogorov's law is the sum of both. Rows that depend on
        each other tend to move a distribution as a whole: of the crossings only the share counts
        that such a path has of a free one's.
        """
        middle = special.erfc(math.sqrt(2) * scaled)
        share = self.crossings(scaled) / np.maximum(FREE.crossings(scaled), 1e-300)
        return np.asarray(middle + np.minimum(share, 1.0) * np.maximum(law - middle, 0.0))

    def crossings(self, scaled: Floats) -> Floats:
        """How often the process crosses a limit [..., features], up to a constant."""
        limit = np.minimum(np.asarray(scaled)[..., None], HIGHEST) ** 2
        return np.asarray((self.angles * np.exp(-limit / (2 * self.heights))).sum(axis=-1))

    def at(self, places: NDArray[np.int64]) -> Paths:
        """Of some features; -1 is one that nothing is known of."""
        return Paths(*(_with_unknown(part)[places] for part in (self.angles, self.heights)))

    def to_array(self) -> Floats:
        """Both together [2, features, steps], to be kept in a file."""
        return np.stack([self.angles, self.heights])


def _free(n: int) -> Paths:
    """Of free rows at n quantiles: neighbours of a Brownian bridge."""
    t = np.arange(1, n + 1) / (n + 1)
    cosine = np.sqrt(t[:-1] * (1 - t[1:]) / (t[1:] * (1 - t[:-1])))
    return Paths(np.arccos(cosine)[None], _higher(t * (1 - t))[None])


def _higher(heights: Floats) -> Floats:
    return np.maximum(np.maximum(heights[..., 1:], heights[..., :-1]), 1e-9)


FREE = _free(N_BINS - 1)


def _with_unknown(part: Floats) -> Floats:
    return np.append(part, np.full((1, part.shape[1]), np.nan), axis=0)


def find_paths(sizes: Sequence[NDArray[np.int32]], wanted: NDArray[np.bool_]) -> Paths:
    """Paths of the wanted features, from counts [blocks, features, bins] by size of the blocks.

    The largest size of which there are 16 blocks counts; where there is none nothing is known.
    """
    angles = np.full((len(wanted), N_BINS - 2), np.nan)
    heights = angles.copy()
    many = [blocks for blocks in sizes if len(blocks) >= FEWEST_BLOCKS]
    if many and wanted.any():
        angles[wanted], heights[wanted] = _angles(many[-1][:, wanted])
    return Paths(angles, heights)


def _angles(blocks: NDArray[np.int32]) -> tuple[Floats, Floats]:
    share = np.cumsum(blocks, axis=2)[:, :, :-1] / np.maximum(blocks.sum(axis=2, keepdims=True), 1)
    mean = share.mean(axis=0)
    apart = share - mean
    size = np.sqrt((apart**2).sum(axis=0))
    norm = size[:, 1:] * size[:, :-1]
    together = (apart[:, :, 1:] * apart[:, :, :-1]).sum(axis=0)
    cosine = np.where(norm > 0, together / np.where(norm > 0, norm, 1), 1.0)
    return np.arccos(np.clip(cosine, -1, 1)), _higher(mean * (1 - mean))
