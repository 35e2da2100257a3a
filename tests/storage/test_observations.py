"""The Delta table of observations."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from deltalake import CommitProperties, DeltaTable, Transaction, write_deltalake

from storage import observations as obs

ODD = "Air temperature [K]"
SCHEMA = obs.arrow_schema([ODD, "a,b;(c)=\t"], ["größe/µ"], label_is_number=False)


def a_batch(
    *keys: str | None, day: int = 1, hour: int = 0, labels: list[str | None] | None = None
) -> pd.DataFrame:
    """One row per key on a day, ingested at an hour of the tenth."""
    n = len(keys)
    return pd.DataFrame(
        {
            obs.KEY: list(keys),
            obs.EVENT_TIME: [pd.Timestamp(2026, 1, day, tz="UTC")] * n,
            obs.INGESTED_AT: [
                pd.Timestamp(2026, 1, 10, hour, 0, place, tz="UTC") for place in range(n)
            ],
            obs.BATCH_ID: ["unset"] * n,
            obs.SOURCE: ["inbox"] * n,
            obs.LABEL: labels or ["yes"] * n,
            ODD: [float(place) for place in range(n)],
            "a,b;(c)=\t": [0.5] * n,
            "größe/µ": ["groß"] * n,
        }
    )


def append(store: Path, frame: pd.DataFrame, batch_id: str) -> int:
    """The data version after a batch of the test's problem."""
    return obs.append_batch(
        store, "demo", frame.assign(**{obs.BATCH_ID: batch_id}), SCHEMA, batch_id
    )


def keys(frame: pd.DataFrame) -> list[Any]:
    """Keys of the rows in their order."""
    return list(frame[obs.KEY])


def test_nothing_is_there_before_the_first_batch(tmp_path: Path) -> None:
    assert obs.read_observations(tmp_path, "demo").empty
    assert obs.data_version(tmp_path, "demo") is None
    assert obs.newest_time(tmp_path, "demo") is None
    assert obs.known_keys(tmp_path, "demo", ["a"], besides="b") == {}
    assert obs.count_labelled(tmp_path, "demo") == 0
    assert obs.compact(tmp_path, "demo") == 0


def test_columns_with_odd_names_come_back_as_they_were(tmp_path: Path) -> None:
    append(tmp_path, a_batch("a", "b"), "one")
    frame = obs.read_observations(tmp_path, "demo")
    assert list(frame[ODD]) == [0.0, 1.0]
    assert list(frame["größe/µ"]) == ["groß", "groß"]
    assert list(frame["a,b;(c)=\t"]) == [0.5, 0.5]


def test_the_same_batch_twice_adds_nothing(tmp_path: Path) -> None:
    first = append(tmp_path, a_batch("a"), "one")
    assert append(tmp_path, a_batch("a"), "one") == first
    assert len(obs.read_observations(tmp_path, "demo")) == 1


def test_a_batch_whose_append_was_not_noted_is_found_after_other_batches(tmp_path: Path) -> None:
    append(tmp_path, a_batch("a"), "one")
    newest = append(tmp_path, a_batch("b", hour=1), "two")
    assert append(tmp_path, a_batch("a"), "one") == newest
    assert keys(obs.read_observations(tmp_path, "demo")) == ["a", "b"]


def test_two_writers_of_one_batch_cannot_both_append_it(tmp_path: Path) -> None:
    append(tmp_path, a_batch("a"), "one")
    stale = DeltaTable(obs.table_uri(tmp_path, "demo"))
    append(tmp_path, a_batch("b"), "two")
    rows = stale.to_pyarrow_table()
    again = CommitProperties(app_transactions=[Transaction("two", 1)])
    with pytest.raises(Exception, match="Concurrent transaction"):
        write_deltalake(stale, rows, mode="append", commit_properties=again)
    assert len(obs.read_observations(tmp_path, "demo")) == 2


def test_an_older_version_shows_the_rows_of_its_time(tmp_path: Path) -> None:
    first = append(tmp_path, a_batch("a"), "one")
    second = append(tmp_path, a_batch("b"), "two")
    assert obs.data_version(tmp_path, "demo") == second
    assert keys(obs.read_observations(tmp_path, "demo", version=first)) == ["a"]


def test_compaction_loses_neither_rows_nor_versions(tmp_path: Path) -> None:
    versions = [
        append(tmp_path, a_batch(name, hour=place), name) for place, name in enumerate("abc")
    ]
    assert obs.compact(tmp_path, "demo") == 3
    assert keys(obs.read_observations(tmp_path, "demo")) == ["a", "b", "c"]
    assert keys(obs.read_observations(tmp_path, "demo", version=versions[1])) == ["a", "b"]
    append(tmp_path, a_batch("a"), "a")
    assert len(obs.read_observations(tmp_path, "demo")) == 3


def test_rows_come_by_event_time_and_equal_ones_in_order_of_arrival(tmp_path: Path) -> None:
    append(tmp_path, a_batch("late", day=3, hour=1), "one")
    append(tmp_path, a_batch("second", "third", day=2, hour=3), "two")
    append(tmp_path, a_batch("first", day=2, hour=2), "three")
    frame = obs.read_observations(tmp_path, "demo")
    assert keys(frame) == ["first", "second", "third", "late"]
    assert keys(obs.read_observations(tmp_path, "demo", newest=2)) == ["third", "late"]
    assert obs.newest_time(tmp_path, "demo") == pd.Timestamp(2026, 1, 3, tz="UTC")


def test_rows_without_label_are_left_out_when_asked_for(tmp_path: Path) -> None:
    append(tmp_path, a_batch("a", "b", labels=["yes", None]), "one")
    assert keys(obs.read_observations(tmp_path, "demo", labelled_only=True)) == ["a"]
    assert obs.count_labelled(tmp_path, "demo") == 1
    at = obs.newest_time(tmp_path, "demo")
    assert at is not None
    assert obs.count_labelled(tmp_path, "demo", after=at) == 0
    assert obs.count_labelled(tmp_path, "demo", after=at - timedelta(microseconds=1)) == 1


def test_a_key_whose_label_came_later_stands_there_once(tmp_path: Path) -> None:
    append(tmp_path, a_batch("a", "b", None, labels=[None, None, None]), "one")
    append(tmp_path, a_batch("a", hour=1, labels=["no"]), "two")
    frame = obs.read_observations(tmp_path, "demo")[[obs.KEY, obs.LABEL]].fillna("-")
    assert frame.to_numpy().tolist() == [["b", "-"], ["-", "-"], ["a", "no"]]


def test_known_keys_tell_whether_the_label_is_known(tmp_path: Path) -> None:
    append(tmp_path, a_batch("a", "b", None, labels=[None, "no", "no"]), "one")
    append(tmp_path, a_batch("a", "c", labels=["yes", "yes"]), "two")
    asked = ["a", "b", "new"]
    assert obs.known_keys(tmp_path, "demo", asked, besides="none") == {"a": True, "b": True}
    assert obs.known_keys(tmp_path, "demo", ["a", "c"], besides="two") == {"a": False}


def test_a_feature_that_came_later_is_missing_in_older_rows(tmp_path: Path) -> None:
    append(tmp_path, a_batch("a"), "one")
    wider = obs.arrow_schema([ODD, "a,b;(c)=\t", "new"], ["größe/µ"], False)
    frame = a_batch("b", hour=1).assign(new=4.0)
    obs.append_batch(tmp_path, "demo", frame, wider, "two")
    assert obs.read_observations(tmp_path, "demo")["new"].isna().tolist() == [True, False]
