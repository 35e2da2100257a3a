"""Trees that are walked together, as arrays that numpy runs through level by level."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from api.explain_parts import Floats

Indexes = NDArray[np.intp]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Shape:
    """How the nodes of some trees hang together: roots first, then level by level.

    The n-th split's children are the nodes ``n_roots + 2n`` (left) and the one after it.
    ``level_splits`` are the splits of each level but the last; ``next_node`` is a split's left
    child, and a leaf itself.
    """

    n_roots: int
    n_nodes: int
    levels: tuple[slice, ...]
    splits: Indexes
    level_splits: tuple[Indexes, ...]
    leaves: Indexes
    next_node: Indexes

    @property
    def inner(self) -> slice:
        """All nodes but the roots."""
        return slice(self.n_roots, self.n_nodes)

    @property
    def inner_levels(self) -> tuple[slice, ...]:
        """Each level below the roots, counted as in arrays of the nodes but the roots."""
        n = self.n_roots
        return tuple(slice(level.start - n, level.stop - n) for level in self.levels[1:])


@dataclass(frozen=True)
class Splits:
    """What each split asks."""

    feature: Indexes
    threshold: NDArray[np.float32]
    is_missing_left: Flags

    def goes_left(self, row: NDArray[np.float32]) -> Flags:
        """For each split, whether a row takes its left side."""
        value = row[self.feature]
        return np.where(np.isnan(value), self.is_missing_left, value <= self.threshold)


@dataclass(frozen=True)
class Paths:
    """For each node but the roots, what was asked on the way to it.

    ``asked`` is its parent's feature; ``earlier`` is the nearest node above at which the same
    feature was asked, or the number of nodes when there is none. ``share`` is the share of rows
    that passed everything asked of the feature down to the node, ``share_before`` down to
    ``earlier``.
    """

    asked: Indexes
    earlier: Indexes
    share: Floats
    share_before: Floats


@dataclass(frozen=True)
class Block:
    """Some trees that add ``values`` [leaves, values] to the raw scores ``raw``.

    ``leaf_shares`` is the share of its tree's rows that ended in each leaf; ``points`` and
    ``weights`` integrate over 0..1 exactly what the longest path asks for.
    """

    raw: slice
    shape: Shape
    splits: Splits
    paths: Paths
    values: Floats
    leaf_shares: Floats
    points: Floats
    weights: Floats

    def reached(self, goes_left: Flags) -> Indexes:
        """The leaf that a row reaches in each tree, as an index of ``values``."""
        shape = self.shape
        steps = np.zeros(shape.n_nodes, dtype=np.intp)
        steps[shape.splits] = ~goes_left
        node = np.arange(shape.n_roots)
        for _ in shape.levels[1:]:
            node = shape.next_node[node] + steps[node]
        return np.searchsorted(shape.leaves, node)

    def passes(self, goes_left: Flags) -> Floats:
        """Whether a row passes all that is asked of a node's feature down to it, as 0 or 1.

        One longer than the nodes: the last place stands for "nothing was asked", and passes.
        """
        shape = self.shape
        found = np.ones(shape.n_nodes + 1)
        found[shape.n_roots : shape.n_nodes : 2] = goes_left
        found[shape.n_roots + 1 : shape.n_nodes : 2] = ~goes_left
        for level, inner in zip(shape.levels[1:], shape.inner_levels, strict=True):
            found[level] *= found[self.paths.earlier[inner]]
        return found

    def sums_below(self, ratio: Floats, values: Floats) -> Floats:
        """For each node but the roots: the sum over its leaves of value × product of its path.

        ``ratio`` [points, nodes but the roots] is what each node multiplies into the product.
        """
        shape = self.shape
        found = np.ones((len(self.points), shape.n_nodes))
        steps = list(zip(shape.level_splits, shape.levels[1:], shape.inner_levels, strict=True))
        for parents, level, inner in steps:
            found[:, level] = np.repeat(found[:, parents], 2, axis=1) * ratio[:, inner]
        found[:, shape.leaves] *= values
        for parents, level, _ in reversed(steps):
            children = found[:, level]
            found[:, parents] = children[:, 0::2] + children[:, 1::2]
        return found[:, shape.inner]
