"""Labels that come apart from their rows, before or after them, by any way."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

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
