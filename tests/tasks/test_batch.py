"""What a batch may add: each key once, features that can be told apart, times in order."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest

from flows.ingest import ingest_all
from learning.inference import InferenceError
from learning.problem import Problem
from settings import Settings
from storage import observations as obs
from storage import reports
from storage.database import reading
from storage.tables import batches, quarantine
from tasks.schema import infer_schema
from tests.factories import START, drop, rows_of, serve_rows, small_rows, small_run, small_settings


def ingest(settings: Settings, frame: pd.DataFrame, name: str) -> dict[str, Any]:
    """What a file in the inbox gave."""
    drop(settings, frame, name)
    with small_run(settings) as run:
        result: dict[str, Any] = ingest_all(run)["inbox"]
    return result


def stored(settings: Settings) -> pd.DataFrame:
    """All observations."""
    return obs.read_observations(settings.store, "small")


def test_a_key_that_is_known_is_left_out_and_counted(small_sql: Settings) -> None:
    ingest(small_sql, small_rows(0, 30), "a.csv")
    again = small_rows(0, 40).assign(x2=9.0)
    result = ingest(small_sql, again, "b.csv")
    assert result == {"rows": 10, "quarantined": 0, "repeated": 30}
    assert len(stored(small_sql)) == 40
    assert (stored(small_sql)["x2"] == 9.0).sum() == 10
    noted = {row.source: row.reason for row in rows_of(small_sql, batches)}
    assert noted["inbox/b.csv"] == "30 rows repeat a known key"


def test_the_label_that_was_missing_may_come_later(small: Settings) -> None:
    frame = small_rows(0, 30)
    ingest(small, frame.drop(columns="label"), "a.csv")
    assert obs.count_labelled(small.store, "small") == 0
    assert ingest(small, frame, "b.csv")["rows"] == 30
    assert len(stored(small)) == obs.count_labelled(small.store, "small") == 30
    assert ingest(small, frame.assign(x2=0.0), "c.csv")["repeated"] == 30
    unlabelled = frame.drop(columns="label").assign(x2=1.0)
    assert ingest(small, unlabelled, "d.csv")["repeated"] == 30


def test_without_a_key_column_equal_rows_are_all_kept(tmp_path: Any) -> None:
    settings = small_settings(tmp_path / "home", key=None)
    for name in ("a.csv", "b.csv"):
        ingest(settings, small_rows(0, 30).assign(x2=float(len(name)), note=name), name)
    assert len(stored(settings)) == 60


def test_without_an_event_time_rows_count_in_order_of_arrival(tmp_path: Any) -> None:
    settings = small_settings(tmp_path / "home", event_time=None)
    for name, first in (("1.csv", 0), ("2.csv", 30)):
        drop(settings, small_rows(first, 30), name)
    with small_run(settings) as run:
        ingest_all(run)
    # Another run whose clock stands a day before: rows still come behind those that are there.
    drop(settings, small_rows(60, 30), "3.csv")
    with small_run(settings, row=-1440) as run:
        ingest_all(run)
    frame = stored(settings)
    assert list(frame[obs.KEY]) == [f"row-{place:06d}" for place in range(90)]
    assert frame[obs.EVENT_TIME].is_monotonic_increasing
    assert frame[obs.EVENT_TIME][0] == pd.Timestamp(START)


def test_equal_event_times_keep_the_order_of_arrival(small: Settings) -> None:
    for name, first in (("1.csv", 0), ("2.csv", 30)):
        drop(small, small_rows(first, 30).assign(when=START), name)
    with small_run(small) as run:
        ingest_all(run)
    assert list(stored(small)[obs.KEY]) == [f"row-{place:06d}" for place in range(60)]


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (("x2", "X2"), "'X2' has the name of 'x2', but for capital letters"),
        (("x2", "_label"), "a column of ours"),
    ],
)
def test_columns_that_the_table_cannot_tell_apart_refuse_the_batch(
    tmp_path: Any, names: tuple[str, str], found: str
) -> None:
    settings = small_settings(tmp_path / "home", features=[{"name": name} for name in names])
    result = ingest(settings, small_rows(0, 30).assign(**{names[1]: 1.0}), "a.csv")
    assert found in result["refused"][0]


def test_the_first_batch_tells_the_schema_when_the_file_has_only_a_target(tmp_path: Any) -> None:
    settings = small_settings(tmp_path / "home", features=[], classes=[], task="auto")
    assert ingest(settings, small_rows(0, 60), "a.csv")["rows"] == 60
    with small_run(settings) as run:
        schema = run.schema
    assert schema is not None
    assert schema.names == ("Air temperature [K]", "x2", "plan")
    assert (schema.task, schema.classes) == ("binary", ("no", "yes"))
    later = small_rows(60, 60).assign(plan="gold", extra=1)
    assert ingest(settings, later, "b.csv")["rows"] == 60
    with small_run(settings) as run:
        assert run.schema == schema


def problem(**fields: Any) -> Problem:
    """A problem that names a target ``y`` and what is given."""
    return Problem.model_validate({"name": "demo", "target": "y", **fields})


def frame_of(values: Any) -> pd.DataFrame:
    """A feature and a target of these values."""
    chance = np.random.default_rng(0)
    return pd.DataFrame({"x": chance.normal(size=len(values)), "y": values})


def test_a_task_that_the_file_names_wins_over_what_the_values_suggest() -> None:
    amounts = frame_of(list(range(20)) * 5)
    assert infer_schema(problem(), amounts).task == "regression"
    named = infer_schema(problem(task="multiclass"), amounts)
    assert len(named.classes) == 20
    flags = frame_of([0, 1] * 50)
    assert infer_schema(problem(task="regression"), flags).classes == ()


def test_the_positive_class_of_the_file_is_the_last_one() -> None:
    flags = frame_of([0, 1, 1] * 40)
    assert infer_schema(problem(), flags).classes == ("0", "1")
    assert infer_schema(problem(positive_class="0"), flags).classes == ("1", "0")


@pytest.mark.parametrize(
    ("fields", "values", "found"),
    [
        ({"task": "binary"}, ["a", "b", "c"], "found 3 classes; expected 2"),
        (
            {"positive_class": "yes"},
            ["a", "b"],
            "positive_class: found 'yes'; expected one of a, b",
        ),
        ({}, ["same"], "every value is 'same'"),
        ({"key": "id"}, ["a", "b"], "key: found no column 'id'"),
    ],
)
def test_a_batch_without_what_the_file_says_is_refused(
    fields: dict[str, Any], values: list[str], found: str
) -> None:
    with pytest.raises(InferenceError, match=found):
        infer_schema(problem(**fields), frame_of(values * 40))


FUTURE = datetime(2999, 1, 1, tzinfo=UTC)


def test_a_row_from_the_far_future_is_kept_aside_and_shifts_no_window(small_sql: Settings) -> None:
    frame = small_rows(0, 30)
    frame.loc[4, "when"] = FUTURE
    assert ingest(small_sql, frame, "a.csv") == {"rows": 29, "quarantined": 1}
    assert obs.newest_time(small_sql.store, "small") == START + timedelta(minutes=29)
    (row,) = rows_of(small_sql, quarantine)
    assert row.quarantine_reason == "when: further ahead than max_ahead allows"


def test_how_far_ahead_is_the_problem_files_to_say(tmp_path: Any) -> None:
    soon = datetime.now(UTC) + timedelta(hours=30)
    for place, (ahead, n_rows) in enumerate(((None, 30), ("1d", 29), ("2d", 30))):
        settings = small_settings(tmp_path / str(place), max_ahead=ahead)
        frame = small_rows(0, 30)
        frame.loc[4, "when"] = soon
        assert ingest(settings, frame, "a.csv")["rows"] == n_rows


def test_a_prediction_for_the_far_future_is_not_in_the_current_window(small: Settings) -> None:
    serve_rows(small, small_rows(0, 4).assign(when=[START, FUTURE, START, START]), "1")
    with small_run(small) as run, reading(run.engine) as connection:
        served = reports.served_rows(connection, "small", 3, run.latest)
    assert [row.event_time for row in served] == [START] * 3
