"""What a table is taken for: roles, features, windows for its size, on made and on real files."""

import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from learning.inference import InferenceError, Inferred, find_event_time, infer_problem, sized_rules
from learning.problem import Problem
from learning.rows import Schema
from storage.tabular import read_table

N = 400


def table(**columns: Any) -> pd.DataFrame:
    """N rows with a target that depends on ``x``, and more columns."""
    x = np.random.default_rng(1).standard_normal(N)
    noise = np.random.default_rng(2).standard_normal(N)
    outcome = np.where(x + noise > 0.7, "bad", "good")
    return pd.DataFrame({"x": x, "outcome": outcome, **columns})


def infer(frame: pd.DataFrame, target: str = "outcome", **options: Any) -> Inferred:
    return infer_problem(frame, target, name="test", **options)


def test_a_full_timestamp_wins_over_a_date_and_neither_may_go_back() -> None:
    days = pd.date_range("2024-01-01", periods=N)
    frame = table(
        day=days.strftime("%Y-%m-%d"),
        stamp=(days + pd.Timedelta("1h")).strftime("%Y-%m-%d %H:%M"),
        back=days[::-1],
        year=np.sort(np.random.default_rng(3).integers(2000, 2020, N)),
    )

    assert find_event_time(frame) == "stamp"
    assert find_event_time(frame.drop(columns="stamp")) == "day"
    assert find_event_time(frame[["back", "year", "x"]]) is None


def test_the_event_time_the_key_and_dropped_columns_are_never_features() -> None:
    frame = table(
        when=pd.date_range("2024-01-01", periods=N, freq="h"),
        name=[f"n{place}" for place in range(N)],
        secret=np.random.default_rng(4).standard_normal(N),
    )

    inferred = infer(frame, event_time="when", key="name", drop=["secret"])

    assert [feature.name for feature in inferred.problem.features] == ["x"]
    assert inferred.problem.drop == ("secret",)
    assert (inferred.problem.event_time, inferred.problem.key) == ("when", "name")
    assert inferred.warnings == ()


def test_a_named_event_time_may_be_out_of_order_but_must_hold_times() -> None:
    frame = table(when=pd.date_range("2024-01-01", periods=N)[::-1])

    assert (
        "event time: when, not in order; rows will be sorted"
        in infer(frame, event_time="when").notes
    )
    with pytest.raises(InferenceError, match=r"event time 'x': found .* expected dates or times"):
        infer(frame, event_time="x")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"target": "outcom"}, "target: found no column 'outcom'; did you mean 'outcome'"),
        ({"target": "OUTCOME"}, "did you mean 'outcome'.*columns: x, outcome"),
        ({"event_time": "tiem"}, "event time: found no column 'tiem'"),
        ({"key": "id"}, "key: found no column 'id'"),
        ({"drop": ["z"]}, "column to drop: found no column 'z'"),
        ({"key": "outcome"}, "'outcome' is named as target and as key"),
        ({"drop": ["x"]}, "no column is left as a feature"),
    ],
)
def test_a_column_that_is_not_there_or_has_two_roles_is_refused(
    options: dict[str, Any], message: str
) -> None:
    with pytest.raises(InferenceError, match=message):
        infer(table(), **options)


def test_an_empty_table_and_a_wrong_name_are_refused() -> None:
    with pytest.raises(InferenceError, match="without rows"):
        infer(table().head(0))
    with pytest.raises(InferenceError, match="name: found 'No Name'"):
        infer_problem(table(), "outcome", name="No Name")


def test_doubtful_rows_are_warned_of() -> None:
    frame = table(key=["a", "a"] + [f"k{place}" for place in range(N - 2)]).head(60)
    frame["outcome"] = ["bad"] * 5 + [None] * 5 + ["good"] * 50

    warnings = infer(frame, key="key").warnings

    assert "only 60 rows; training starts at 100 labelled ones" in warnings
    assert "outcome: 5 of 60 rows have no label" in warnings
    assert "outcome: the class bad has only 5 rows" in warnings
    assert "key: 1 rows repeat a key; each key is stored once" in warnings


@pytest.mark.parametrize(
    ("n_rows", "bootstrap", "current", "least", "new"),
    [
        (100, 100, 100, 50, 50),
        (1_000, 200, 100, 50, 50),
        (10_000, 500, 250, 100, 200),
        (100_000, 500, 1_000, 100, 500),
    ],
)
def test_windows_fit_the_size_of_the_file(
    n_rows: int, bootstrap: int, current: int, least: int, new: int
) -> None:
    problem = Problem.model_validate({"target": "y", **sized_rules(n_rows)})

    assert problem.windows.bootstrap_rows == bootstrap
    assert problem.windows.current_rows == current
    assert problem.drift.min_rows == problem.performance.min_rows == least
    assert problem.retrain.min_new_rows == new
    assert problem.retrain.volume_rows == 10_000


CELLS = st.one_of(
    st.none(), st.booleans(), st.integers(-5, 5), st.floats(), st.text("a0 .-/:é", max_size=6)
)


@given(st.lists(st.tuples(CELLS, CELLS, st.sampled_from("ab")), min_size=2, max_size=40))
def test_any_table_gives_a_problem_or_a_reason(rows: list[tuple[Any, Any, str]]) -> None:
    frame = pd.DataFrame(rows, columns=["p", "q", "y"], dtype=object)
    with suppress(InferenceError):
        assert Schema.of(infer(frame, "y").problem).features


EXPECTED: dict[str, tuple[str, str, str | None, set[str], set[str]]] = {
    "adult": ("income", "binary", None, set(), set()),
    "ai4i2020": (
        "Machine failure",
        "binary",
        None,
        {"UDI", "Product ID"},
        {"TWF", "HDF", "PWF", "OSF"},
    ),
    "bank_marketing": ("y", "binary", None, set(), set()),
    "bike_sharing_hourly": (
        "cnt",
        "regression",
        "dteday",
        {"instant"},
        {"registered", "casual and registered"},
    ),
    "elec2": ("class", "binary", "timestamp_derived", set(), set()),
    "etth1": ("OT", "regression", "date", set(), set()),
    "german_credit": ("target", "binary", None, set(), set()),
    "keystroke": ("user", "multiclass", None, set(), set()),
    "occupancy": ("Occupancy", "binary", "date", set(), {"Light"}),
    "taiwan_credit_default": ("default.payment.next.month", "binary", None, {"ID"}, set()),
    "telco_churn": ("Churn", "binary", None, {"customerID"}, set()),
}


@pytest.mark.parametrize("name", EXPECTED)
def test_real_files_are_understood(shared_data: Path, name: str) -> None:
    target, task, event_time, dropped, leaks = EXPECTED[name]
    frame = read_table(shared_data / f"{name}.csv.gz")

    started = time.perf_counter()
    inferred = infer_problem(frame, target, name=name)
    seconds = time.perf_counter() - started

    assert inferred.problem.task == task
    assert inferred.problem.event_time == event_time
    assert set(inferred.problem.drop) == dropped
    assert {warning.split(":")[0] for warning in inferred.warnings} == leaks
    assert len(inferred.problem.features) == len(frame.columns) - 1 - len(dropped) - bool(
        event_time
    )
    assert seconds < 5


def test_blank_charges_of_telco_are_numbers(shared_data: Path) -> None:
    frame = read_table(shared_data / "telco_churn.csv.gz")
    frame["TotalCharges"] = frame["TotalCharges"].astype(str).replace("nan", " ")

    problem = infer_problem(frame, "Churn", name="telco").problem

    assert {f.name: f.kind for f in problem.features}["TotalCharges"] == "numeric"
