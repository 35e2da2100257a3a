"""Slices, blocks of time and the cost of thresholds, against numbers worked out by hand."""

from __future__ import annotations

import numpy as np

from learning.evaluation_parts import cost_curve, evaluation_parts
from learning.problem import Costs, Feature, Problem
from learning.rows import Rows, Schema

FEATURES = (Feature(name="plan", kind="categorical", categories=("a", "b")), Feature(name="age"))
SCHEMA = Schema("y", "binary", FEATURES, ("no", "yes"))


def parts(**changes: object) -> dict[str, object]:
    """Of 80 rows: right wherever the plan is a (the first 40), wrong in half of b's."""
    y = np.tile([0.0, 1.0], 40)
    said = y.copy()
    said[40::2] = 1.0
    x = np.column_stack([np.repeat([0, 1], 40), np.arange(80)]).astype(np.float32)
    rows = Rows(x, y, np.arange(80).astype("datetime64[us]"))
    problem = Problem.model_validate({"target": "y", **changes})
    output = np.column_stack([1 - said, said])
    return evaluation_parts(rows, output, SCHEMA, problem, "accuracy", 0.5, {"plan": 0.1})


def test_slices_are_the_important_categories_unless_the_problem_names_others() -> None:
    assert parts()["slices"] == [
        {"name": "plan = a", "n_rows": 40, "value": 1.0},
        {"name": "plan = b", "n_rows": 40, "value": 0.5},
    ]
    named = parts(slices=[{"by": "age", "edges": [20]}])
    assert named["slices"] == [
        {"name": "age < 20", "n_rows": 20, "value": None},  # too few to say
        {"name": "age ≥ 20", "n_rows": 60, "value": 0.66667},
    ]


def test_blocks_of_time_have_thirty_rows_at_least() -> None:
    blocks = parts()["blocks"]

    assert isinstance(blocks, list)
    assert [(block["n_rows"], block["value"]) for block in blocks] == [(40, 1.0), (40, 0.5)]
    assert blocks[0]["end"] < blocks[1]["start"]


def test_the_cost_of_a_threshold_is_the_mean_over_all_rows() -> None:
    y, probability = np.array([0.0, 0, 1, 1]), np.array([0.1, 0.6, 0.4, 0.9])
    curve = cost_curve(y, probability, Costs(false_positive=1, false_negative=4))

    cost = dict(zip(curve["x"], curve["y"], strict=True))
    assert cost[0.0] == 0.5  # both negatives are alarms
    assert cost[0.5] == (1 + 4) / 4
    assert cost[0.3] == 0.25
    assert cost[1.0] == 2.0
