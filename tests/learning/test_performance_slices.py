"""Slices: which rows they are, and what their performance says."""

from __future__ import annotations

import numpy as np
import pytest

from learning.performance_rules import PerformanceRules, Slice
from learning.performance_slices import measure_slices, slice_rows
from learning.problem import Feature

FEATURES = (
    Feature(name="age"),
    Feature(name="plan", kind="categorical", categories=("basic", "pro", "none")),
)
X = np.array([[29, 0], [30, 1], [49, 1], [50, -1], [np.nan, 0]], dtype=np.float32)


def rows_by_name(*slices: Slice) -> dict[str, list[int]]:
    return {name: np.flatnonzero(rows).tolist() for name, rows in slice_rows(X, FEATURES, slices)}


def test_bands_begin_at_their_edges_and_missing_values_stand_apart() -> None:
    assert rows_by_name(Slice(by="age", edges=(30, 50))) == {
        "age < 30": [0],
        "30 ≤ age < 50": [1, 2],
        "age ≥ 50": [3],
        "age missing": [4],
    }


def test_categories_that_no_row_has_are_no_slice() -> None:
    assert rows_by_name(Slice(by="plan")) == {
        "plan = basic": [0, 4],
        "plan = pro": [1, 2],
        "plan other or missing": [3],
    }


def test_rare_categories_are_one_slice_and_a_foreign_feature_is_none() -> None:
    many = Feature(name="plan", kind="categorical", categories=tuple(map(str, range(30))))
    x = np.array([[19], [20], [29]], dtype=np.float32)

    found = list(slice_rows(x, [many], [Slice(by="plan"), Slice(by="age", edges=(1,))]))

    assert [(name, rows.tolist()) for name, rows in found] == [
        ("plan = 19", [True, False, False]),
        ("plan other or missing", [False, True, True]),
    ]


@pytest.mark.parametrize("floor", [0.8, None])
def test_each_slice_has_its_own_value_and_few_rows_say_nothing(floor: float | None) -> None:
    y = np.tile([0.0, 1.0], 100)
    said = y.copy()
    said[:80:2] = 1.0  # wrong on 40 of the first 80 rows
    output = np.column_stack([1 - said, said])
    index = np.arange(200)
    parts = [("bad", index < 80), ("good", (index >= 80) & (index < 181)), ("few", index >= 181)]
    rules = PerformanceRules(metric="accuracy", min_rows=20)

    bad, good, few = measure_slices("binary", "accuracy", y, output, 0.5, parts, rules, floor)

    assert (bad.name, bad.n_rows, bad.value) == ("bad", 80, 0.5)
    assert bad.low is not None
    assert bad.high is not None
    assert bad.low < 0.5 < bad.high < 0.8
    assert bad.is_below_floor is (floor is not None)
    assert (good.value, good.low, good.is_below_floor) == (1.0, 1.0, False)
    assert (few.n_rows, few.value, few.is_below_floor) == (19, None, False)
