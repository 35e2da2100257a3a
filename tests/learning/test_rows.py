"""Observations become one float32 matrix, labels become numbers, and time gives the order."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from learning.problem import Feature, Problem
from learning.rows import EVENT_TIME, LABEL, Schema, encode, encode_features, encode_labels

NUMBER = Feature(name="n")
PLAN = Feature(name="plan", kind="categorical", categories=("basic", "1", "true"))
BINARY = Schema("y", "binary", (NUMBER, PLAN), ("no", "yes"))
VALUE = Schema("y", "regression", (NUMBER,))


def frame_of(**columns: Any) -> pd.DataFrame:
    n = len(next(iter(columns.values())))
    times = pd.date_range("2024-01-01", periods=n, freq="h", tz="UTC")
    return pd.DataFrame({EVENT_TIME: times, LABEL: [None] * n, **columns})


def test_an_empty_frame_encodes_to_no_rows_of_the_right_width() -> None:
    empty = frame_of(n=[1.0], plan=["basic"], **{LABEL: ["no"]}).iloc[:0]

    rows = encode(empty, BINARY)

    assert (len(rows), rows.x.shape, rows.times.dtype) == (0, (0, 2), np.dtype("datetime64[us]"))


def test_rows_come_in_order_of_time_and_equal_times_in_order_of_arrival() -> None:
    frame = frame_of(n=[1, 2, 3, 4], plan=["basic"] * 4, **{LABEL: ["no", "yes", "no", "yes"]})
    frame[EVENT_TIME] = frame[EVENT_TIME].iloc[[2, 0, 2, 0]].array

    rows = encode(frame, BINARY)

    assert rows.x[:, 0].tolist() == [2, 4, 1, 3]
    assert rows.y.tolist() == [1, 1, 0, 0]
    assert (np.diff(rows.times) >= np.timedelta64(0)).all()


def test_times_of_any_zone_become_utc() -> None:
    frame = frame_of(n=[1.0], **{LABEL: [1.0]})
    frame[EVENT_TIME] = pd.to_datetime(["2024-06-01 12:00"]).tz_localize("Europe/Berlin")

    assert encode(frame, VALUE).times[0] == np.datetime64("2024-06-01T10:00", "us")


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (1, 1.0),
        ("2.5", 2.5),
        (True, 1.0),
        (None, np.nan),
        ("word", np.nan),
        (np.inf, np.nan),
        (-np.inf, np.nan),
        (1e39, np.nan),
        (3e38, np.float32(3e38)),
    ],
)
def test_a_number_is_float32_and_anything_beyond_it_is_missing(value: Any, number: float) -> None:
    matrix = encode_features(pd.DataFrame({"n": pd.Series([value], dtype=object)}), (NUMBER,))

    assert matrix.dtype == np.float32
    np.testing.assert_array_equal(matrix[0, 0], np.float32(number))


@pytest.mark.parametrize(
    ("value", "code"),
    [("basic", 0), (" basic ", 0), (1, 1), (1.0, 1), ("1", 1), (True, 2), ("new", -1), (None, -1)],
)
def test_a_category_is_its_place_in_the_list_and_anything_else_is_minus_one(
    value: Any, code: int
) -> None:
    matrix = encode_features(pd.DataFrame({"plan": pd.Series([value], dtype=object)}), (PLAN,))

    assert matrix[0, 0] == code


def test_an_absent_column_counts_as_missing() -> None:
    matrix = encode_features(pd.DataFrame({"other": [1, 2]}), (NUMBER, PLAN))

    assert np.isnan(matrix[:, 0]).all()
    assert (matrix[:, 1] == -1).all()


def test_labels_are_class_indexes_and_unknown_ones_are_missing() -> None:
    labels = pd.Series(["yes", "no", None, "maybe"], dtype=object)

    np.testing.assert_array_equal(encode_labels(labels, BINARY), [1, 0, np.nan, np.nan])


def test_labels_of_a_regression_are_values() -> None:
    labels = pd.Series([1, "2.5", None, "word"], dtype=object)

    np.testing.assert_array_equal(encode_labels(labels, VALUE), [1, 2.5, np.nan, np.nan])


def test_labelled_rows_are_those_with_a_label() -> None:
    rows = encode(frame_of(n=[1, 2, 3], **{LABEL: [5.0, None, 6.0]}), VALUE)

    assert rows.labelled.y.tolist() == [5, 6]
    assert rows.labelled.x[:, 0].tolist() == [1, 3]


@given(st.lists(st.floats(width=32, allow_nan=True, allow_infinity=False), min_size=1))
def test_float32_values_survive_encoding(values: list[float]) -> None:
    matrix = encode_features(pd.DataFrame({"n": values}), (NUMBER,))

    np.testing.assert_array_equal(matrix[:, 0], np.array(values, dtype=np.float32))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({}, "task and features are not known yet"),
        ({"task": "binary"}, "task and features are not known yet"),
        ({"task": "binary", "features": [{"name": "a"}]}, "classes are not known yet"),
    ],
)
def test_a_schema_needs_all_that_is_inferred_otherwise(
    changes: dict[str, Any], message: str
) -> None:
    problem = Problem.model_validate({"name": "p", "target": "y", **changes})

    with pytest.raises(ValueError, match=f"p: {message}"):
        Schema.of(problem)


def test_a_schema_keeps_the_order_of_the_features() -> None:
    problem = Problem.model_validate(
        {"target": "y", "task": "regression", "features": [{"name": "b"}, {"name": "a"}]}
    )

    assert Schema.of(problem).names == ("b", "a")
