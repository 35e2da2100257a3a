"""When a batch is no longer the table that the problem was told of, and when it still is."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from learning.problem import Problem
from learning.rows import Schema
from learning.validation import lenient, validate
from learning.validation_schema import (
    BatchRefusedError,
    refuse_changed_types,
    refuse_missing_columns,
)
from tests.learning.test_validation import BASE, NOW, batch

TIMED = {"event_time": "at"}


def check(frame: pd.DataFrame, **changes: Any) -> None:
    problem = Problem.model_validate({**BASE, **changes})
    refuse_changed_types(frame, problem, Schema.of(problem))


def missing(frame: pd.DataFrame, **changes: Any) -> str:
    problem = Problem.model_validate({**BASE, **changes})
    with pytest.raises(BatchRefusedError) as caught:
        refuse_missing_columns(frame, problem, Schema.of(problem))
    return str(caught.value)


@pytest.mark.parametrize(
    ("columns", "changes", "found"),
    [
        ({"age": ["old"] * 20}, {}, "column 'age' held numbers and now holds text"),
        ({"age": ["old"] * 19 + [1]}, {}, "column 'age' held numbers and now holds text"),
        ({"age": pd.Series([NOW] * 20)}, {}, "column 'age' held numbers and now holds times"),
        ({"age": ["1.234,5"] * 20}, {}, "numbers written with commas"),
        ({"churn": ["x"] * 20}, {"task": "regression", "classes": ()}, "column 'churn' held"),
        ({"at": ["soon"] * 20}, TIMED, "column 'at' held times and now holds text"),
        ({"at": list(range(20))}, TIMED, "column 'at' held times and now holds text"),
    ],
)
def test_a_column_of_another_type_is_named_with_what_it_held_and_holds(
    columns: dict[str, Any], changes: dict[str, Any], found: str
) -> None:
    with pytest.raises(BatchRefusedError, match=found):
        check(batch(20, **columns), **changes)


@pytest.mark.parametrize(
    "columns",
    [
        {"age": ["old"] * 18 + [1, 2]},  # nine in ten and no more
        {"age": ["NA"] * 20},
        {"age": [None] * 20},
        {"age": [True, False] * 10},
        {"plan": [1] * 20},  # 1 is one of its categories
        {"at": [None] * 20},
        {"at": ["2024-01-01"] * 20},
    ],
)
def test_what_is_a_matter_of_single_rows_is_no_change_of_type(columns: dict[str, Any]) -> None:
    check(batch(20, **{"at": ["2024-01-01"] * 20, **columns}), **TIMED)


def test_fewer_than_twenty_values_are_no_change_of_type() -> None:
    check(batch(19, age=["old"] * 19))
    check(batch(40, age=["old"] * 19 + [None] * 21))


def test_at_most_three_columns_are_named() -> None:
    features = [{"name": f"x{place}"} for place in range(5)]
    text = missing(pd.DataFrame({"x4": [1], "churn": [0]}), features=features)
    assert "'x2' is missing" in text
    assert "'x3'" not in text
    assert "(and 1 more)" in text


def test_a_name_that_differs_by_its_spelling_alone_is_nearer_than_any_other() -> None:
    frame = batch().rename(columns={"age": "A_g e"}).assign(agee=1)
    assert "the nearest column is 'A_g e'" in missing(frame)


def test_lenient_rules_let_pass_what_a_person_may_overrule() -> None:
    features = [
        {"name": "age", "minimum": 0, "maximum": 130, "nullable": False},
        {"name": "plan", "kind": "categorical", "categories": ["basic"], "unseen": "quarantine"},
    ]
    problem = Problem.model_validate({**BASE, "features": features})
    schema = Schema.of(problem)
    frame = batch(5, age=[-1, 131, None, "x", 5], plan=["basic", "gold", "basic", "basic", "gold"])
    assert [row.row_number for row in validate(frame, problem, schema, NOW).bad] == [1, 2, 3, 4, 5]
    found = validate(frame, problem, lenient(schema), NOW)
    assert found.reasons == {"age: not a number": 1}
    assert found.good["plan"].tolist() == ["basic", "gold", "basic", "gold"]


def test_allowed_categories_must_be_listed() -> None:
    plan = {"name": "plan", "kind": "categorical", "unseen": "quarantine"}
    with pytest.raises(ValueError, match="plan: unseen: quarantine needs categories"):
        Problem.model_validate({**BASE, "features": [plan]})
