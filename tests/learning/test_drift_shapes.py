"""Counts that let a past check be looked at: hand-counted bins, and the same edges from both."""

from __future__ import annotations

import numpy as np
import pytest

from learning.drift_reference import shapes, summarise
from learning.drift_shapes import count_categories, count_numbers, edges_of_column
from learning.problem import Feature

NAN = float("nan")


def floats(*values: float) -> np.ndarray:
    return np.array(values, dtype=np.float32)


def test_bins_hold_their_lower_edge_and_the_last_one_both() -> None:
    edges = floats(1, 2, 4)
    column = floats(0.5, 1, 1.5, 2, 3, 4, 4, 9, NAN)
    assert count_numbers(column, edges) == [1, 2, 4, 1, 1]


def test_one_value_is_one_bin_and_none_is_no_bin() -> None:
    assert count_numbers(floats(1, 2, 2, 3, NAN), floats(2)) == [1, 2, 1, 1]
    assert count_numbers(floats(1, NAN), floats()) == [0, 1, 1]
    assert count_numbers(floats(), floats(2)) == [0, 0, 0, 0]


def test_edges_are_values_that_part_the_rows_evenly() -> None:
    edges = edges_of_column(np.arange(1201, dtype=np.float32))
    assert edges.tolist() == [100.0 * place for place in range(13)]
    assert edges_of_column(floats(NAN)).tolist() == []
    assert edges_of_column(floats(3, 3, 3)).tolist() == [3.0]


def test_categories_are_counted_and_what_is_none_comes_last() -> None:
    assert count_categories(floats(0, 1, 1, -1, 7, NAN), 2).tolist() == [1, 2, 3]


@pytest.mark.parametrize("tied", [False, True], ids=["distinct", "tied"])
def test_a_kept_reference_gives_the_edges_of_its_rows(tied: bool) -> None:
    chance = np.random.default_rng(3)
    reference = chance.normal(size=(500, 2)).astype(np.float32)
    reference[::7, 0] = np.nan
    if tied:
        reference = np.round(reference)
    reference[:, 1] = chance.integers(0, 3, 500)
    features = [
        Feature(name="x"),
        Feature(name="c", kind="categorical", categories=("p", "q", "r")),
    ]
    found = shapes(summarise(reference, features), reference, features)
    assert found["x"] == count_numbers(reference[:, 0], edges_of_column(reference[:, 0]))
    assert found["x"][0] == found["x"][-2] == 0
    assert found["x"][-1] == 72
    assert sum(found["x"]) == sum(found["c"]) == 500
    assert found["c"] == [*np.bincount(reference[:, 1].astype(int)).tolist(), 0]
