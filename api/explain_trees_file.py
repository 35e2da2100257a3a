"""Blocks of trees from the arrays of an explanation file, checked and completed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from api.explain_blocks import Block, Flags, Indexes, Paths, Shape, Splits
from api.explain_parts import Arrays, Floats, expect


def read_blocks(arrays: Arrays, n_features: int, n_raw: int) -> tuple[Block, ...]:
    """All blocks of a file that adds to ``n_raw`` raw scores.

    Raises ExplanationError when its arrays contradict each other.
    """
    levels, raw, values = arrays["levels"], arrays["block_raw"], arrays["leaf_value"]
    _check(arrays, n_features)
    expect(raw.shape == (len(levels),) and raw.dtype.kind == "i", "block_raw")
    expect(bool(((raw >= 0) & (raw + values.shape[1] <= n_raw)).all()), "block_raw")
    blocks = []
    first_node = first_leaf = 0
    for sizes, its_raw in zip(levels.tolist(), raw.tolist(), strict=True):
        nodes = slice(first_node, first_node + sum(sizes))
        shape = _shape(sizes, arrays["feature"][nodes] < 0)
        leaves = slice(first_leaf, first_leaf + len(shape.leaves))
        score = slice(its_raw, its_raw + values.shape[1])
        blocks.append(_block(arrays, nodes, shape, values[leaves].astype(np.float64), score))
        first_node, first_leaf = nodes.stop, leaves.stop
    return tuple(blocks)


def _check(arrays: Arrays, n_features: int) -> None:
    levels, feature = arrays["levels"], arrays["feature"]
    threshold, cover, values = arrays["threshold"], arrays["cover"], arrays["leaf_value"]
    expect(levels.ndim == 2 and levels.dtype.kind == "i" and levels.size > 0, "levels")
    expect(bool((levels >= 0).all()) and int(levels.sum()) == len(feature), "levels")
    expect(feature.ndim == 1 and feature.dtype.kind == "i", "feature")
    expect(bool(((feature >= -1) & (feature < n_features)).all()), "feature")
    for name in ("threshold", "cover", "is_missing_left"):
        expect(arrays[name].shape == feature.shape, name)
    expect(threshold.dtype == np.float32 and not np.isnan(threshold).any(), "threshold")
    expect(arrays["is_missing_left"].dtype == np.bool_, "is_missing_left")
    expect(bool((np.isfinite(cover) & (cover > 0)).all()), "cover")
    expect(values.ndim == 2 and len(values) == int((feature < 0).sum()), "leaf_value")
    expect(bool(np.isfinite(values).all()), "leaf_value")


def _shape(sizes: list[int], is_leaf: Flags) -> Shape:
    while len(sizes) > 1 and sizes[-1] == 0:
        sizes = sizes[:-1]
    ends = np.cumsum(sizes).tolist()
    levels = tuple(slice(end - size, end) for end, size in zip(ends, sizes, strict=True))
    level_splits = tuple(np.flatnonzero(~is_leaf[level]) + level.start for level in levels)
    n_children = [2 * len(splits) for splits in level_splits]
    expect(sizes[0] > 0 and n_children == [*sizes[1:], 0], "levels")
    splits = np.flatnonzero(~is_leaf)
    next_node = np.arange(len(is_leaf))
    next_node[splits] = sizes[0] + 2 * np.arange(len(splits))
    return Shape(
        n_roots=sizes[0],
        n_nodes=len(is_leaf),
        levels=levels,
        splits=splits,
        level_splits=level_splits[:-1],
        leaves=np.flatnonzero(is_leaf),
        next_node=next_node,
    )


def _block(arrays: Arrays, nodes: slice, shape: Shape, values: Floats, raw: slice) -> Block:
    feature = arrays["feature"][nodes].astype(np.intp)
    cover = arrays["cover"][nodes].astype(np.float64)
    splits = Splits(
        feature[shape.splits],
        arrays["threshold"][nodes][shape.splits],
        arrays["is_missing_left"][nodes][shape.splits],
    )
    parents = np.repeat(shape.splits, 2)
    ratio = cover[shape.inner] / cover[parents]
    asked = feature[parents]
    earlier = _earlier(shape, parents, asked)
    share, whole, n_asked = (
        np.ones(shape.n_nodes + 1),
        np.ones(shape.n_nodes),
        np.zeros_like(feature),
    )
    for level, inner in zip(shape.levels[1:], shape.inner_levels, strict=True):
        share[level] = ratio[inner] * share[earlier[inner]]
        whole[level] = ratio[inner] * whole[parents[inner]]
        n_asked[level] = n_asked[parents[inner]] + (earlier[inner] == shape.n_nodes)
    points, weights = _quadrature(int(n_asked.max()))
    paths = Paths(asked, earlier, share[shape.inner], share[earlier])
    return Block(raw, shape, splits, paths, values, whole[shape.leaves], points, weights)


def _earlier(shape: Shape, parents: Indexes, asked: Indexes) -> Indexes:
    nowhere = shape.n_nodes
    above = np.full(nowhere + 1, nowhere)
    above[shape.inner] = parents
    question = np.full(nowhere + 1, -1)
    question[shape.inner] = asked
    found = parents
    for _ in shape.levels:
        is_found = (found == nowhere) | (question[found] == asked)
        found = np.where(is_found, found, above[found])
    return found


def _quadrature(n_asked: int) -> tuple[Floats, NDArray[np.float64]]:
    """Gauss-Legendre points and weights on 0..1, exact for the product of n_asked - 1 factors."""
    points, weights = np.polynomial.legendre.leggauss(max(1, (n_asked + 1) // 2))
    return (points + 1) / 2, weights / 2
