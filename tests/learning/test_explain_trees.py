from __future__ import annotations

import copy
import itertools
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from api.explain_file import read_explainer
from learning import explain_trees
from learning.explain import explanation_file
from learning.explain_trees import float32_below
from learning.models import fit
from tests.learning.explained import (
    N_FEATURES,
    PARAMETERS,
    TREES,
    Floats,
    contributions,
    explainer_of,
    fitted_of,
    inputs,
    prepared,
    rows_of,
    schema_of,
)


def coalition_value(tree: Any, row: Floats, known: tuple[int, ...], node: int = 0) -> float:
    """What a tree says when only some features are known: others follow the training rows."""
    if tree.children_left[node] < 0:
        return float(tree.value[node, 0, 0])
    sides = (tree.children_left[node], tree.children_right[node])
    if tree.feature[node] in known:
        side = sides[0] if row[tree.feature[node]] <= tree.threshold[node] else sides[1]
        return coalition_value(tree, row, known, side)
    cover = tree.weighted_n_node_samples
    return sum(
        cover[side] / cover[node] * coalition_value(tree, row, known, side) for side in sides
    )


def enumerated(tree: Any, row: Floats) -> Floats:
    """Shapley values by their definition, over all coalitions (Shapley 1953)."""
    found = np.zeros(N_FEATURES)
    for feature in range(N_FEATURES):
        others = [other for other in range(N_FEATURES) if other != feature]
        for size in range(N_FEATURES):
            weight = 1 / (N_FEATURES * math.comb(N_FEATURES - 1, size))
            for known in itertools.combinations(others, size):
                with_it = coalition_value(tree, row, (*known, feature))
                found[feature] += weight * (with_it - coalition_value(tree, row, known))
    return found


def test_tree_contributions_are_shapley_values_by_their_definition() -> None:
    fitted = copy.deepcopy(fitted_of("forest", "regression"))
    forest, columns, features = prepared(fitted, inputs(3, seed=4))
    forest.estimators_ = forest.estimators_[:2]
    explainer = explainer_of(fitted, "regression")
    for row, of_model in zip(inputs(3, seed=4), columns, strict=True):
        expected = np.zeros(N_FEATURES)
        expected[features] = sum(enumerated(tree.tree_, of_model) for tree in forest.estimators_)
        found = explainer.attribute(row, 0).contributions
        assert found == pytest.approx(expected / 2, abs=1e-5)


@pytest.mark.parametrize(("kind", "task"), TREES)
def test_how_trees_are_portioned_changes_nothing(
    kind: str, task: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fitted, x = fitted_of(kind, task), inputs(3, seed=6)
    whole = contributions(explainer_of(fitted, task), x)
    monkeypatch.setattr(explain_trees, "BLOCK_NODES", 100)
    assert contributions(explainer_of(fitted, task), x) == pytest.approx(whole, abs=1e-10)


def test_a_tree_without_splits_contributes_nothing() -> None:
    rows = replace(rows_of("regression"), y=np.full(400, 5.0))
    for kind in ("forest", "boosting"):
        content = explanation_file(
            fit(kind, PARAMETERS[kind], rows, schema_of("regression")), rows.x
        )
        assert content is not None
        found = read_explainer(content, N_FEATURES).attribute(rows.x[0], 0)
        assert found.base == pytest.approx(5.0)
        assert not found.contributions.any()


def test_a_threshold_moves_down_to_float32_and_never_up() -> None:
    exact = np.array([0.1, -0.1, 0.5, 1e300, -1e300, np.inf])
    near = float32_below(exact)
    assert (near.astype(np.float64) <= exact).all()
    assert near[2] == 0.5
    assert float(np.nextafter(near[0], np.float32(1))) > 0.1
    assert near[3] == np.finfo(np.float32).max
    assert near[4] == -np.inf
    assert near[5] == np.inf
