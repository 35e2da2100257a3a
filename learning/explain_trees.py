"""Trees as arrays: nodes level by level, with what each split asks and how many rows it saw."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learning.explain_outputs import margin_parts, probability_parts
from learning.lightgbm_trees import BoosterTree, booster_trees
from learning.models import Fitted
from learning.rows import Floats

# Trees that are walked together: few enough for the processor's cache, many enough that numpy's
# cost per call does not count.
BLOCK_NODES = 8_192


@dataclass(frozen=True)
class Tree:
    """One fitted tree; node 0 is its root, and a leaf's ``feature`` is -1.

    ``value`` [nodes, values] counts at leaves only; ``threshold`` is float32 and met by equality.
    """

    left: NDArray[np.intp]
    right: NDArray[np.intp]
    feature: NDArray[np.int64]
    threshold: NDArray[np.float32]
    is_missing_left: NDArray[np.bool_]
    cover: Floats
    value: Floats


def forest_parts(fitted: Fitted, n_features: int) -> dict[str, Any]:
    """Arrays of a random forest; ``fill`` is what stands for a missing number."""
    steps = fitted.pipeline.named_steps
    fill = np.full(n_features, np.nan)
    columns: list[int] = []
    for name, transformer, selected in steps["prepare"].transformers_:
        columns += [int(index) for index in selected]
        if name == "numbers":
            nothing = np.full((1, len(selected)), np.nan, dtype=np.float32)
            fill[list(selected)] = transformer.transform(nothing)[0]
    trees = steps["model"].estimators_
    columns_of = np.asarray(columns)
    found = [_forest_tree(tree.tree_, columns_of, fitted.n_classes, len(trees)) for tree in trees]
    parts = probability_parts(fitted)
    return {
        **parts,
        **_packed([(0, found)]),
        "baseline": np.zeros(len(parts["outputs"])),
        "fill": fill,
    }


def boosting_parts(fitted: Fitted, n_features: int) -> dict[str, Any]:
    """Arrays of a gradient boosting model, which sends missing values left or right itself."""
    predictors = fitted.pipeline._predictors
    n_raw = len(predictors[0])
    per_raw = [
        (raw, [_boosting_tree(trees[raw].nodes) for trees in predictors]) for raw in range(n_raw)
    ]
    return {
        **margin_parts(fitted),
        **_packed(per_raw),
        "baseline": np.ravel(fitted.pipeline._baseline_prediction).astype(np.float64),
        "fill": np.full(n_features, np.nan),
    }


def lightgbm_parts(fitted: Fitted, n_features: int) -> dict[str, Any]:
    """Arrays of a LightGBM model, whose first trees hold its baseline."""
    per_raw = [
        (raw, [_lightgbm_tree(tree) for tree in trees])
        for raw, trees in enumerate(booster_trees(fitted.pipeline))
    ]
    return {
        **margin_parts(fitted),
        **_packed(per_raw),
        "baseline": np.zeros(len(per_raw)),
        "fill": np.full(n_features, np.nan),
    }


def _lightgbm_tree(tree: BoosterTree) -> Tree:
    n_splits = len(tree.feature)

    def node(child: NDArray[np.int64]) -> NDArray[np.intp]:
        return np.where(child < 0, n_splits + ~child, child).astype(np.intp)

    nowhere = np.full(len(tree.leaf_value), -1)
    return Tree(
        np.concatenate([node(tree.left), nowhere]),
        np.concatenate([node(tree.right), nowhere]),
        np.concatenate([tree.feature, nowhere]),
        float32_below(np.concatenate([tree.threshold, np.zeros(len(nowhere))])),
        np.concatenate([tree.is_missing_left, np.zeros(len(nowhere), dtype=np.bool_)]),
        np.concatenate([tree.count, tree.leaf_count]),
        np.concatenate([np.zeros(n_splits), tree.leaf_value]).reshape(-1, 1),
    )


def _forest_tree(tree: Any, columns_of: NDArray[np.intp], n_classes: int, n_trees: int) -> Tree:
    is_leaf = tree.children_left < 0
    feature = np.where(is_leaf, -1, columns_of[np.where(is_leaf, 0, tree.feature)])
    value = tree.value[:, 0, :]
    if n_classes:
        value = value / value.sum(axis=1, keepdims=True)
    if n_classes == 2:
        value = value[:, 1:]
    return Tree(
        tree.children_left,
        tree.children_right,
        feature,
        float32_below(np.where(is_leaf, 0.0, tree.threshold)),
        np.zeros(len(feature), dtype=np.bool_),  # gaps are filled before
        tree.weighted_n_node_samples,
        value / n_trees,
    )


def _boosting_tree(nodes: Any) -> Tree:
    is_leaf = nodes["is_leaf"].astype(np.bool_)
    if nodes["is_categorical"].any():
        raise ValueError("a split by sets of categories cannot be explained; use ordered codes")
    return Tree(
        nodes["left"].astype(np.intp),
        nodes["right"].astype(np.intp),
        np.where(is_leaf, -1, nodes["feature_idx"]),
        float32_below(np.where(is_leaf, 0.0, nodes["num_threshold"])),
        nodes["missing_go_to_left"].astype(np.bool_),
        nodes["count"].astype(np.float64),
        nodes["value"].reshape(-1, 1),
    )


def float32_below(threshold: Floats) -> NDArray[np.float32]:
    """The largest float32 at or below each number: float32 inputs compare with it the same."""
    with np.errstate(over="ignore"):
        near = threshold.astype(np.float32)
    above = near.astype(np.float64) > threshold
    near[above] = np.nextafter(near[above], np.float32(-np.inf))
    return near


def _packed(per_raw: Iterable[tuple[int, Sequence[Tree]]]) -> dict[str, Any]:
    """All trees in blocks that add to the same raw scores, each as `_by_level` orders it."""
    blocks = [(raw, _by_level(block)) for raw, trees in per_raw for block in _portions(trees)]
    depth = max(len(sizes) for _, (_, sizes) in blocks)
    levels = np.zeros((len(blocks), depth), dtype=np.int64)
    for index, (_, (_, sizes)) in enumerate(blocks):
        levels[index, : len(sizes)] = sizes
    nodes = [block for _, (block, _) in blocks]
    feature = np.concatenate([block.feature for block in nodes])
    value = np.concatenate([block.value for block in nodes])
    return {
        "kind": np.str_("trees"),
        "levels": levels,
        "block_raw": np.asarray([raw for raw, _ in blocks], dtype=np.int64),
        "feature": feature.astype(np.int32),
        "threshold": np.concatenate([block.threshold for block in nodes]),
        "is_missing_left": np.concatenate([block.is_missing_left for block in nodes]),
        "cover": np.concatenate([block.cover for block in nodes]),
        "leaf_value": value[feature < 0].astype(np.float32),
    }


def _portions(trees: Sequence[Tree]) -> Iterator[list[Tree]]:
    portion: list[Tree] = []
    n_nodes = 0
    for tree in trees:
        if portion and n_nodes + len(tree.feature) > BLOCK_NODES:
            yield portion
            portion, n_nodes = [], 0
        portion.append(tree)
        n_nodes += len(tree.feature)
    yield portion


def _by_level(trees: Sequence[Tree]) -> tuple[Tree, list[int]]:
    """Trees as one array of nodes, roots first, and how many nodes each level has.

    The children of a level's n-th split are the nodes 2n and 2n + 1 of the next level, so that
    no pointers are needed.
    """
    starts = np.cumsum([0, *(len(tree.feature) for tree in trees[:-1])])
    left = np.concatenate([tree.left + start for tree, start in zip(trees, starts, strict=True)])
    right = np.concatenate([tree.right + start for tree, start in zip(trees, starts, strict=True)])
    feature = np.concatenate([tree.feature for tree in trees])
    level = starts.astype(np.intp)
    levels = []
    while len(level):
        levels.append(level)
        splits = level[feature[level] >= 0]
        level = np.column_stack([left[splits], right[splits]]).ravel()
    order = np.concatenate(levels)
    rest = (
        np.concatenate([getattr(tree, name) for tree in trees])[order]
        for name in ("threshold", "is_missing_left", "cover", "value")
    )
    return Tree(left[order], right[order], feature[order], *rest), [len(level) for level in levels]
