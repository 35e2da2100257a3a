"""Feedback becomes labelled observations exactly once."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd
import pytest

from settings import Settings
from storage import observations as obs
from storage.database import open_engine, upgrade
from storage.predictions import store_records
from storage.records import FeedbackItem, FeedbackRecord, PredictionRecord
from storage.tables import batches, feedback, quarantine
from tasks import batch as batch_module
from tasks.ingest_feedback import ingest_feedback
from tests.factories import (
    START,
    rows_of,
    serve_rows,
    small_rows,
    small_run,
    small_settings,
    tick,
)
from tests.tasks.conftest import PowerCutError


def ingest(settings: Settings) -> tuple[int, int]:
    """Rows stored and quarantined from feedback in one run."""
    with small_run(settings) as run:
        result = ingest_feedback(run)
    return result.n_rows, result.n_quarantined


def stored(settings: Settings) -> pd.DataFrame:
    """All observations."""
    return obs.read_observations(settings.store, "small")


def test_labelled_predictions_become_observations(small_sql: Settings) -> None:
    frame = small_rows(0, 20)
    serve_rows(small_sql, frame, "1")
    serve_rows(small_sql, small_rows(20, 5), "1", labels=False)
    assert ingest(small_sql) == (20, 0)
    found = stored(small_sql)
    assert list(found[obs.KEY]) == list(frame["row_id"])
    assert list(found[obs.LABEL]) == list(frame["label"])
    assert list(found["Air temperature [K]"]) == list(frame["Air temperature [K]"])
    assert list(found[obs.EVENT_TIME]) == list(frame["when"])
    assert set(found[obs.SOURCE]) == {"feedback"}
    assert ingest(small_sql) == (0, 0)


@pytest.mark.parametrize("moment", ["append_batch", "record_batch"])
def test_a_crash_between_claim_append_and_note_stores_each_label_once(
    small_sql: Settings, cut_before: Callable[[object, str], None], moment: str
) -> None:
    serve_rows(small_sql, small_rows(0, 20), "1")
    owner = batch_module if moment == "append_batch" else batch_module.batches
    cut_before(owner, moment)
    with pytest.raises(PowerCutError):
        ingest(small_sql)
    serve_rows(small_sql, small_rows(20, 5), "1")
    ingest(small_sql)
    assert len(stored(small_sql)) == 25
    assert sorted(row.n_rows for row in rows_of(small_sql, batches)) == [5, 20]
    assert len({row.batch_id for row in rows_of(small_sql, feedback)}) == 2


def test_labels_of_no_known_class_are_quarantined_and_refuse_nothing(small: Settings) -> None:
    serve_rows(small, small_rows(0, 20).assign(label="maybe"), "1")
    assert ingest(small) == (0, 20)
    assert {row.quarantine_reason for row in rows_of(small, quarantine)} == {
        "label: not one of the known classes"
    }
    assert ingest(small) == (0, 0)


def predict(
    settings: Settings, name: str, version: str, key: str | None, values: list[object]
) -> None:
    """One labelled prediction."""
    upgrade(settings.sql_url)
    engine = open_engine(settings.sql_url)
    record = PredictionRecord(
        "small", name, version, key, START, values, "no", [1.0, 0.0], b"{}", START
    )  # type: ignore[arg-type]
    item = FeedbackItem(name, "yes", START)
    store_records(engine, [record, FeedbackRecord("small", [item], None, START)])
    engine.dispose()


def test_a_row_that_was_predicted_twice_is_stored_once(small: Settings) -> None:
    predict(small, "one", "1", "row-1", [300.0, 0.0, "pro"])
    assert ingest(small) == (1, 0)
    predict(small, "two", "1", "row-1", [300.0, 0.0, "pro"])
    assert ingest(small) == (0, 0)
    assert len(stored(small)) == 1


def test_what_clients_call_key_is_no_key_where_the_problem_has_none(tmp_path: object) -> None:
    settings = small_settings(tmp_path / "home", key=None)  # type: ignore[operator]
    for name in ("one", "two"):
        predict(settings, name, "1", "customer-7", [300.0, 0.0, "pro"])
    assert ingest(settings) == (2, 0)
    assert sorted(stored(settings)[obs.KEY]) == ["one", "two"]


def test_inputs_are_read_by_the_names_that_their_version_knew(championed: Settings) -> None:
    home = championed.home
    serve_rows(championed, small_rows(400, 120, turned=True), "1")
    features = [
        {"name": "new"},
        {"name": "plan", "kind": "categorical", "categories": ["basic", "pro"]},
        {"name": "Air temperature [K]"},
    ]
    changed = small_settings(home, features=features)
    result = tick(changed, 520)
    assert result["ingested"]["feedback"]["rows"] == 120
    # The champion still judges drift by the features that it was trained on.
    assert "worst Air temperature [K]" in result["reason"] or "roc_auc" in result["reason"]
    newest = stored(changed).tail(120)
    assert newest["new"].isna().all()
    assert set(newest["plan"]) == {"basic", "pro"}
    assert result["challenger"]["outcome"] in ("promoted", "refused", "inconclusive")
    assert tick(changed, 521)["ingested"] == {}
