"""Batches of labels, and repeats of a key within one batch."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from learning.late_labels import as_label_batch, fold_repeats, holds_labels_only, labels_of
from learning.problem import Problem
from learning.rows import Schema
from learning.validation import validate
from tests.factories import START

PROBLEM = Problem.model_validate(
    {
        "name": "p", "target": "y", "task": "binary", "classes": ["0", "1"], "key": "id",
        "event_time": "at", "features": [{"name": "x"}], "max_bad_share": 1.0,
    }
)  # fmt: skip
SCHEMA = Schema.of(PROBLEM)


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        (("id", "y"), True),
        (("id", "y", "note"), True),
        (("id", "y", "x"), False),
        (("id",), False),
        (("y",), False),
    ],
)
def test_labels_alone_are_a_key_and_a_target_without_features(
    columns: tuple[str, ...], expected: bool
) -> None:
    frame = pd.DataFrame([[1] * len(columns)], columns=list(columns))
    assert holds_labels_only(frame, PROBLEM, SCHEMA) is expected
    keyless = PROBLEM.model_copy(update={"key": None})
    assert not holds_labels_only(frame, keyless, SCHEMA)


def test_labels_are_checked_as_those_of_rows_and_blank_ones_bring_nothing() -> None:
    frame = pd.DataFrame({"id": ["a", "b", "c", None], "y": [1.0, None, 7, 0]})
    checked = validate(frame, *as_label_batch(PROBLEM, SCHEMA), START)
    assert labels_of(checked.good) == {"a": "1"}
    assert checked.reasons == {"y: not one of the known classes": 1, "id: the key is missing": 1}


@pytest.mark.parametrize(
    ("rows", "kept"),
    [
        ([("a", 1, None), ("a", 1, 0)], {0: ("a", 1, 0)}),
        ([("a", 1, None), ("a", 2, 0)], {0: ("a", 1, 0)}),
        ([("a", 1, 0), ("a", 1, None)], {0: ("a", 1, 0)}),
        ([("a", 1, None), ("a", 2, " ")], {0: ("a", 1, None)}),
        ([("a", 1, 0), ("a", 1, 0)], {0: ("a", 1, 0)}),
        ([("a", 1, 0), ("a", 1, 1)], {0: ("a", 1, 0), 1: ("a", 1, 1)}),
        ([("a", 1, None), ("a", 1, 0), ("a", 1, 0)], {0: ("a", 1, 0)}),
        ([("a", 1, None), ("a", 1, 0), ("a", 1, 1)], {0: ("a", 1, 0), 2: ("a", 1, 1)}),
        ([(None, 1, None), (None, 1, None)], {0: (None, 1, None), 1: (None, 1, None)}),
        (
            [("a", 1, None), ("b", 1, None), ("a", 1, None), ("b", 2, 1)],
            {0: ("a", 1, None), 1: ("b", 1, 1)},
        ),
    ],
)
def test_a_key_keeps_its_first_row_and_takes_the_first_label(
    rows: Any, kept: dict[int, tuple[Any, ...]]
) -> None:
    frame = pd.DataFrame(rows, columns=["id", "x", "y"], dtype=object)
    found = fold_repeats(frame, PROBLEM)
    assert {
        place: tuple(row) for place, row in zip(found.index, found.to_numpy(), strict=True)
    } == kept
    assert frame.to_numpy().tolist() == [list(row) for row in rows]


def test_nothing_goes_where_nothing_tells_rows_apart() -> None:
    frame = pd.DataFrame({"id": ["a", "a"], "y": [None, None]})
    assert len(fold_repeats(frame, PROBLEM.model_copy(update={"key": None}))) == 2
    assert len(fold_repeats(frame.drop(columns="id"), PROBLEM)) == 2
    assert fold_repeats(frame.drop(columns="y"), PROBLEM).index.tolist() == [0]
