"""Labels that come apart from their rows, before or after them, by any way."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import settings as settings_for_examples
from hypothesis import strategies as st

from flows.ingest import ingest_all
from settings import Settings
from storage import observations as obs
from storage.tables import batches, quarantine, waiting_labels
from tests.factories import count, drop, rows_of, small_rows, small_run, small_settings
from tests.tasks.conftest import PowerCutError

ROWS = small_rows(0, 30)
BARE = ROWS.drop(columns="label")
LABELS = ROWS[["row_id", "label"]]


def ingest(settings: Settings) -> dict[str, Any]:
    with small_run(settings) as run:
        return ingest_all(run)


def assert_complete(settings: Settings) -> None:
    """Each row stands once, at its own time, with its own label."""
    frame = obs.read_observations(settings.store, "small")
    assert list(frame[obs.KEY]) == list(ROWS["row_id"])
    assert list(frame[obs.EVENT_TIME]) == list(ROWS["when"])
    assert list(frame[obs.LABEL]) == list(ROWS["label"])
    assert list(frame["x2"]) == pytest.approx(list(ROWS["x2"]))
    labelled = obs.read_observations(settings.store, "small", labelled_only=True)
    assert len(labelled) == 30
    assert count(settings, waiting_labels) == 0


def test_labels_that_come_after_their_rows_are_merged(small_sql: Settings) -> None:
    drop(small_sql, BARE, "1.csv")
    ingest(small_sql)
    drop(small_sql, LABELS[:20], "2.csv")
    assert ingest(small_sql)["labels"] == {"rows": 20, "quarantined": 0}
    drop(small_sql, LABELS, "3.csv")
    assert ingest(small_sql)["labels"] == {"rows": 10, "quarantined": 0, "repeated": 20}
    assert_complete(small_sql)


def test_labels_that_come_before_their_rows_wait(small_sql: Settings) -> None:
    drop(small_sql, LABELS, "1.csv")
    assert "labels" not in ingest(small_sql)
    assert count(small_sql, waiting_labels) == 30
    for first in (0, 15):
        drop(small_sql, BARE[first : first + 15], f"rows-{first}.csv")
        assert ingest(small_sql)["labels"]["rows"] == 15
    assert_complete(small_sql)


def test_rows_and_labels_of_one_batch_and_of_one_turn_find_each_other(small: Settings) -> None:
    both = pd.concat([BARE, ROWS.sample(frac=1, random_state=0)])
    drop(small, both[:40], "1.csv")
    drop(small, LABELS, "2.csv")
    found = ingest(small)
    assert found["inbox"]["rows"] == 30
    assert_complete(small)
    assert count(small, quarantine) == 0


def test_a_row_stays_as_it_was_first_seen_when_a_later_one_brings_its_label(
    small: Settings,
) -> None:
    drop(small, BARE, "1.csv")
    ingest(small)
    hindsight = ROWS.assign(x2=ROWS["label"].map({"no": -9.0, "yes": 9.0}), plan="pro")
    hindsight["when"] = ROWS["when"] + pd.Timedelta(days=3)
    drop(small, hindsight, "2.csv")
    assert ingest(small)["inbox"] == {"rows": 30, "quarantined": 0}
    assert_complete(small)


def test_the_first_label_of_a_key_stays(small: Settings) -> None:
    other = LABELS.assign(label=["no" if label == "yes" else "yes" for label in LABELS["label"]])
    drop(small, LABELS, "1.csv")
    drop(small, other, "2.csv")
    drop(small, BARE, "3.csv")
    ingest(small)
    drop(small, other[:29], "4.csv")
    assert ingest(small)["labels"]["repeated"] == 29
    assert_complete(small)


def test_labels_of_no_known_class_are_quarantined(small: Settings) -> None:
    drop(small, BARE, "1.csv")
    drop(small, LABELS.assign(label=["maybe", None, *LABELS["label"][2:]]), "2.csv")
    found = ingest(small)
    assert (found["labels"]["rows"], found["inbox"]["quarantined"]) == (28, 1)
    (row,) = rows_of(small, quarantine)
    assert (row.row_number, row.quarantine_reason) == (1, "label: not one of the known classes")
    drop(small, LABELS.assign(label="maybe"), "3.csv")
    assert "max_bad_share" in ingest(small)["inbox"]["refused"][0]


MOMENTS = [
    "storage.waiting_labels.keep",
    "storage.batches.record_batch",
    "tasks.ingest_labels.waiting_rows",
    "tasks.batch.append_batch",
    "learning.alert_text.batch_ingested",
    "storage.waiting_labels.drop",
]


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_crash_at_any_moment_merges_each_label_once(
    small: Settings, cut_before: Callable[[object, str], None], moment: str
) -> None:
    drop(small, BARE, "1.csv")
    ingest(small)
    drop(small, LABELS, "2.csv")
    module, _, name = moment.rpartition(".")
    cut_before(importlib.import_module(module), name)
    with pytest.raises(PowerCutError):
        ingest(small)
    ingest(small)
    assert_complete(small)
    assert sum(row.n_rows for row in rows_of(small, batches)) == 60


def test_a_feature_that_is_new_is_missing_in_a_row_whose_label_comes_late(tmp_path: Path) -> None:
    settings = small_settings(tmp_path / "home")
    drop(settings, BARE, "1.csv")
    ingest(settings)
    features = [{"name": "x2"}, {"name": "new"}]
    changed = small_settings(tmp_path / "home", features=features)
    drop(changed, LABELS, "2.csv")
    assert ingest(changed)["labels"]["rows"] == 30
    frame = obs.read_observations(changed.store, "small")
    assert (len(frame), frame["new"].isna().all()) == (30, True)


EVENTS = [("row", place) for place in range(12)] + [("label", place) for place in range(12)]
WAYS = ("inbox", "data")


@settings_for_examples(max_examples=4, deadline=None)
@given(
    order=st.permutations(EVENTS),
    ways=st.lists(st.sampled_from(WAYS), min_size=24, max_size=24),
    turns=st.lists(st.integers(0, 2), min_size=24, max_size=24),
    whole=st.lists(st.booleans(), min_size=12, max_size=12),
)
def test_any_split_over_sources_and_turns_gives_the_same_observations(
    tmp_path_factory: pytest.TempPathFactory,
    order: list[tuple[str, int]],
    ways: list[str],
    turns: list[int],
    whole: list[bool],
) -> None:
    """Rows and their labels in any order; a label comes alone, or with all of its row again."""
    home = tmp_path_factory.mktemp("split") / "home"
    (home / "data").mkdir(parents=True)
    sources = ["inbox", {"kind": "files", "url": "*.jsonl"}]
    settings = small_settings(home, sources=sources)
    for turn in range(3):
        for way in WAYS:
            now = [e for e, w, t in zip(order, ways, turns, strict=True) if (w, t) == (way, turn)]
            rows = [e for e in now if e[0] == "row" or whole[e[1]]]
            labels = [place for kind, place in now if kind == "label" and not whole[place]]
            _put(settings, way, f"{turn}-rows", _rows(rows))
            _put(settings, way, f"{turn}-labels", LABELS.iloc[labels])
        ingest(settings)
    frame = obs.read_observations(settings.store, "small")
    expected = ROWS[:12]
    assert list(frame[obs.KEY]) == list(expected["row_id"])
    assert list(frame[obs.EVENT_TIME]) == list(expected["when"])
    assert list(frame[obs.LABEL]) == list(expected["label"])
    assert list(frame["x2"]) == pytest.approx(list(expected["x2"]))
    assert (count(settings, quarantine), count(settings, waiting_labels)) == (0, 0)


def _rows(events: list[tuple[str, int]]) -> pd.DataFrame:
    frame = ROWS.iloc[[place for _, place in events]].copy()
    bare = [kind == "row" for kind, _ in events]
    frame["label"] = frame["label"].astype(object).where([not one for one in bare], None)
    return frame


def _put(settings: Settings, way: str, name: str, frame: pd.DataFrame) -> None:
    if frame.empty:
        return
    if way == "inbox":
        drop(settings, frame, f"{name}.csv")
    else:
        path = settings.home / "data" / f"{name}.jsonl"
        frame.to_json(path, orient="records", lines=True, date_format="iso", double_precision=15)
