"""Each reason to refuse a row or a batch, and all that must not be one."""

import json
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from learning.problem import Problem
from learning.rows import EVENT_TIME, KEY, LABEL, Schema
from learning.validation import BatchRefusedError, Validated, validate

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
FEATURES = [
    {"name": "age", "minimum": 0, "maximum": 130},
    {"name": "plan", "kind": "categorical", "categories": ["basic", "1"]},
]
BASE: dict[str, Any] = {
    "name": "p", "target": "churn", "task": "binary", "classes": ["0", "1"],
    "features": FEATURES, "max_bad_share": 1.0,
}  # fmt: skip
KEYED = {"key": "id", "event_time": "at"}


def batch(n: int = 1, **columns: Any) -> pd.DataFrame:
    frame = pd.DataFrame({"age": [30.0] * n, "plan": ["basic"] * n, "churn": [0] * n})
    for name, values in columns.items():
        frame[name] = pd.Series(values, dtype=None if hasattr(values, "dtype") else object)
    return frame


def run(frame: pd.DataFrame, **changes: Any) -> Validated:
    problem = Problem.model_validate({**BASE, **changes})
    return validate(frame, problem, Schema.of(problem), NOW)


def test_a_batch_without_rows_is_refused() -> None:
    with pytest.raises(BatchRefusedError, match="columns but no rows"):
        run(batch().iloc[:0])


@pytest.mark.parametrize(
    ("renamed", "message"),
    [
        ({"age": "Age"}, "column 'age' is missing; the nearest column is 'Age'"),
        ({"age": "zzz"}, "column 'age' is missing: rename it in the source"),
        ({"plan": "plans"}, "column 'plan' is missing; the nearest column is 'plans'"),
        ({"id": "idx"}, "column 'id' is missing; the nearest column is 'idx'"),
        ({"at": 7}, "column 'at' is missing"),
    ],
)
def test_a_missing_column_is_named_with_the_nearest_one(renamed: Any, message: str) -> None:
    frame = batch(id=[1], at=["2024-01-01"]).rename(columns=renamed)

    with pytest.raises(BatchRefusedError, match=message):
        run(frame, **KEYED)


def test_the_label_may_be_absent_and_other_columns_are_ignored() -> None:
    good = run(batch(future=["x"]).drop(columns="churn")).good

    assert good.columns.tolist() == [KEY, EVENT_TIME, LABEL, "age", "plan"]
    assert good[LABEL].tolist() == [None]
    values = run(batch().drop(columns="churn"), task="regression", classes=()).good[LABEL]
    assert np.isnan(values).all()


@pytest.mark.parametrize("label", [1, 1.0, "1", " 1 ", np.int8(1), np.float32(1)])
def test_a_label_may_be_written_in_many_ways(label: Any) -> None:
    assert run(batch(churn=[label])).good[LABEL].tolist() == ["1"]


def test_true_and_false_are_labels_of_their_own() -> None:
    classes = ["false", "true"]
    assert run(batch(churn=[True]), classes=classes).good[LABEL].tolist() == ["true"]
    assert run(batch(churn=np.array([True])), classes=classes).good[LABEL].tolist() == ["true"]
    assert len(run(batch(churn=[True])).bad) == 1


@pytest.mark.parametrize("label", [None, np.nan, pd.NA, "", "  "])
@pytest.mark.parametrize("task", ["binary", "regression"])
def test_a_blank_label_is_one_that_is_not_known_yet(label: Any, task: str) -> None:
    changes = {"task": task, "classes": BASE["classes"] if task == "binary" else ()}

    (found,) = run(batch(churn=[label]), **changes).good[LABEL]

    assert pd.isna(found)


REASONS = [
    ({"churn": ["2"]}, {}, "churn: not one of the known classes"),
    ({"churn": ["x"]}, {"task": "regression", "classes": ()}, "churn: not a number"),
    ({"churn": [np.inf]}, {"task": "regression", "classes": ()}, "churn: not a number"),
    ({"age": ["old"]}, {}, "age: not a number"),
    ({"age": pd.Series([NOW])}, {}, "age: not a number"),
    ({"age": [np.inf]}, {}, "age: not finite"),
    ({"age": ["-Infinity"]}, {}, "age: not finite"),
    ({"age": ["1e400"]}, {}, "age: not finite"),
    ({"age": [-0.5]}, {}, "age: below 0"),
    ({"age": [131]}, {}, "age: above 130"),
    ({"id": [None]}, KEYED, "id: the key is missing"),
    ({"id": [" "]}, KEYED, "id: the key is missing"),
    ({"at": [None]}, KEYED, "at: not a time"),
    ({"at": ["yesterday"]}, KEYED, "at: not a time"),
    ({"at": ["2024-02-30"]}, KEYED, "at: not a time"),
    ({"at": [20240101]}, KEYED, "at: not a time"),
]


@pytest.mark.parametrize(("columns", "changes", "reason"), REASONS)
def test_a_bad_value_quarantines_its_row_with_the_reason(
    columns: dict[str, Any], changes: dict[str, Any], reason: str
) -> None:
    good = batch(id=["a"], at=["2024-01-01"])
    bad = batch(**{"id": ["b"], "at": ["2024-01-01"], **columns})

    found = run(pd.concat([good, bad]), **changes)

    assert [(row.row_number, row.reason) for row in found.bad] == [(2, reason)]
    assert (len(found.good), found.reasons) == (1, {reason: 1})


@pytest.mark.parametrize("value", [0, 130, None, "", " ", "30", pd.NA])
def test_limits_belong_to_the_range_and_missing_values_are_allowed(value: Any) -> None:
    assert run(batch(age=[value])).bad == ()


@pytest.mark.parametrize("name", ["age", "plan"])
@pytest.mark.parametrize("value", [None, np.nan, "", "  "])
def test_where_nothing_may_be_missing_blanks_are_refused_too(name: str, value: Any) -> None:
    features = [{**feature, "nullable": False} for feature in FEATURES]

    assert run(batch(**{name: [value]}), features=features).reasons == {f"{name}: missing": 1}


def test_of_many_faults_the_first_is_told_and_each_row_counts_once() -> None:
    found = run(batch(2, age=["old", 200], churn=["x", 0]))

    assert found.reasons == {"churn: not one of the known classes": 1, "age: above 130": 1}


def test_rows_with_the_same_number_are_told_apart_by_their_place() -> None:
    frame = batch(3, age=[1, -1, 2])
    frame.index = pd.Index([0, 0, 0])

    found = run(frame)

    assert [row.row_number for row in found.bad] == [2]
    assert found.good["age"].tolist() == [1, 2]
    assert found.good.index.tolist() == [0, 1]


def test_a_key_stands_once_however_it_is_written() -> None:
    found = run(batch(4, id=[1, "1", 1.0, "b"], at=["2024-01-01"] * 4), **KEYED)

    assert found.good[KEY].tolist() == ["1", "b"]
    assert found.reasons == {"id: the key stands twice": 2}


@pytest.mark.parametrize(
    "text",
    ["2024-05-06", "2024-05-06T00:00:00Z", "2024-05-06 02:00+02:00", "05/06/2024", "2024/05/06"],
)
def test_times_are_read_as_utc_in_the_usual_forms(text: str) -> None:
    found = run(batch(id=["a"], at=[text]), **KEYED).good[EVENT_TIME]

    assert found.tolist() == [pd.Timestamp("2024-05-06", tz="UTC")]


@pytest.mark.parametrize("broken", ["n/a", "2024-13-45", "0000-00-00", 7])
def test_one_unreadable_time_quarantines_one_row_and_not_the_batch(broken: Any) -> None:
    times: list[Any] = [f"2024-05-{day:02}" for day in range(1, 21)]
    times[3] = broken

    found = run(
        batch(20, id=list(range(20)), at=times),
        **KEYED,
    )

    assert [(row.row_number, row.reason) for row in found.bad] == [(4, "at: not a time")]
    assert found.good[EVENT_TIME].dt.day.tolist() == [1, 2, 3, *range(5, 21)]


def test_without_a_time_column_rows_count_in_order_of_arrival() -> None:
    times = run(batch(3)).good[EVENT_TIME]

    assert times.iloc[0] == pd.Timestamp(NOW)
    assert times.diff().iloc[1:].tolist() == [pd.Timedelta(microseconds=1)] * 2


def test_too_many_bad_rows_refuse_the_batch_and_tell_the_commonest_reason() -> None:
    frame = batch(4, age=[-1, -2, "old", 5])

    assert len(run(frame, max_bad_share=0.75).bad) == 3
    message = "3 of 4 rows are bad, more than the share 0.74 .* most often: age: below 0"
    with pytest.raises(BatchRefusedError, match=message):
        run(frame, max_bad_share=0.74)


def test_a_refused_row_is_kept_as_it_came() -> None:
    row = run(batch(age=[-1], note=["a\x00b"], big=np.array([2**60 + 1]))).bad[0].row

    assert row == {"age": -1, "plan": "basic", "churn": 0, "note": "ab", "big": 2**60 + 1}


ODD = [
    np.inf, -np.inf, np.nan, pd.NaT, None, True, np.True_, np.int64(3), np.float32(0.5),
    np.datetime64("2024-01-01"), pd.Timestamp("2024-01-01"), [1, 2], {"a": 1}, np.arange(2),
    b"bytes", "\ud800", "\x00", 10**30,
]  # fmt: skip


@pytest.mark.parametrize("value", ODD, ids=repr)
def test_whatever_a_refused_row_holds_is_plain_json(value: Any) -> None:
    frame = batch(age=[-1])
    frame["odd\x00"] = pd.Series([value], dtype=object)

    row = run(frame).bad[0].row

    text = json.dumps(row, allow_nan=False, ensure_ascii=False)
    assert json.loads(text.encode("utf-8")) == row
    assert "odd" in row


VALUES = st.one_of(
    st.none(), st.floats(), st.integers(), st.booleans(), st.text(max_size=5), st.datetimes(),
    st.lists(st.integers(), max_size=2),
)  # fmt: skip


@given(st.lists(st.tuples(VALUES, VALUES, VALUES, VALUES), min_size=1, max_size=8))
def test_whatever_stands_in_a_batch_each_row_is_good_or_bad(rows: list[Any]) -> None:
    frame = pd.DataFrame(rows, columns=["age", "plan", "churn", "id"], dtype=object)

    found = run(frame, key="id")

    assert len(found.good) + len(found.bad) == len(rows)
    json.dumps([row.row for row in found.bad], allow_nan=False)
    assert found.good["age"].dropna().between(0, 130).all()
    assert found.good[LABEL].dropna().isin(["0", "1"]).all()
    assert found.good[KEY].is_unique


def test_a_row_from_the_far_future_is_bad_where_a_last_time_is_given() -> None:
    frame = batch(3, id=["a", "b", "c"], at=["2026-03-02", "2026-03-03", "2206-03-01"])
    problem = Problem.model_validate({**BASE, **KEYED})
    latest = datetime(2026, 3, 2, tzinfo=UTC)
    found = validate(frame, problem, Schema.of(problem), NOW, latest)
    assert found.good[KEY].tolist() == ["a"]
    assert found.reasons == {"at: further ahead than max_ahead allows": 2}
    assert len(validate(frame, problem, Schema.of(problem), NOW).good) == 3
