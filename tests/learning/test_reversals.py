"""Labels that contradict a model in one part of the rows only."""

from __future__ import annotations

import numpy as np
import pytest

from learning.problem import Feature
from learning.reversals import describe_reversal, find_reversal

FEATURES = (
    Feature(name="age", kind="numeric"),
    Feature(name="plan", kind="categorical", categories=("basic", "plus")),
)


def rows(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Age 0 to 99, plans at random, a score and labels that follow it."""
    rng = np.random.default_rng(seed)
    x = np.column_stack([np.arange(n) % 100, rng.integers(0, 2, n)]).astype(np.float32)
    score = rng.random(n)
    return x, (rng.random(n) < score).astype(float), score


def test_labels_that_follow_the_score_are_no_reversal() -> None:
    for seed in range(20):
        assert find_reversal(*rows(1_000, seed), FEATURES) is None


@pytest.mark.parametrize(
    ("column", "most", "where", "n_rows"),
    [(0, 29, "age ≤ 29", 150), (1, 0, "plan is basic", 234)],
)
def test_an_inverted_part_is_named(column: int, most: int, where: str, n_rows: int) -> None:
    x, y, score = rows(1_000)
    inside = x[:, column] <= most
    y[inside] = 1 - y[inside]

    found = find_reversal(x, y, score, FEATURES)

    assert found is not None
    assert found.where in (where, "age ≤ 29.7")
    assert found.n_rows == pytest.approx(n_rows, abs=0 if column == 0 else 30)
    assert found.n_rows + found.n_rest == 500  # the newer half alone is the proof
    assert found.auc < 0.3
    assert found.rest_auc > 0.7
    said = describe_reversal(found, "champion 3")
    assert f"where {found.where} the labels of /feedback contradict champion 3: ROC AUC 0." in said


def test_a_world_that_turned_round_everywhere_is_none() -> None:
    x, y, score = rows(1_000)

    assert find_reversal(x, 1 - y, score, FEATURES) is None


def test_a_part_that_became_risky_is_no_contradiction() -> None:
    x, y, score = rows(1_000)
    y[x[:, 0] <= 29] = 1  # all positive there, whatever the score: unheard of, but not inverted

    assert find_reversal(x, y, score, FEATURES) is None


def test_too_few_rows_and_missing_values_say_nothing() -> None:
    x, y, score = rows(1_000)
    empty = np.full_like(x, np.nan)

    assert find_reversal(x[:199], y[:199], score[:199], FEATURES) is None
    assert find_reversal(empty, y, score, FEATURES[:1]) is None
