"""The estimate in the loop: made before labels come, compared with them when they did."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import pytest

from operate.status import read_status
from operate.status_live import live_lines
from settings import Settings
from storage.database import open_engine
from storage.predictions import store_records
from storage.records import FeedbackItem, FeedbackRecord, PredictionRecord
from storage.tables import decisions, models, performance_estimates
from tasks.champion import Champion, load_champion
from tasks.estimate import watch_estimate
from tasks.run import Run
from tests.factories import (
    FEATURES,
    START,
    drop,
    rows_of,
    serve_rows,
    small_problem,
    small_rows,
    small_run,
    small_settings,
    tick,
)


def feed_back(settings: Settings, frame: pd.DataFrame) -> None:
    """The labels of rows that were served without."""
    items = [
        FeedbackItem(f"p-{row_id}", label, START)
        for row_id, label in zip(frame["row_id"], frame["label"], strict=True)
    ]
    engine = open_engine(settings.sql_url)
    store_records(engine, [FeedbackRecord("small", items, None, START)])
    engine.dispose()


def look(settings: Settings, row: int) -> None:
    """One look at the answers, when row number ``row`` has just happened."""
    with small_run(settings, row, "monitor") as run:
        watch_estimate(run)


def estimates_of(settings: Settings) -> list[Any]:
    return rows_of(settings, performance_estimates)


def test_an_estimate_comes_before_the_labels_and_is_compared_with_them(
    championed: Settings,
) -> None:
    frame = small_rows(400, 80)
    serve_rows(championed, frame, "1", labels=False)
    look(championed, 480)
    (row,) = estimates_of(championed)
    assert (row.metric, row.n_rows, row.realised, row.settled_at) == ("roc_auc", 80, None, None)
    assert row.low < row.value < row.high
    feed_back(championed, frame[:71])
    look(championed, 481)  # 71 of 80 labels are too few for a comparison
    assert estimates_of(championed)[0].settled_at is None
    feed_back(championed, frame[71:72])
    look(championed, 482)
    (row,) = estimates_of(championed)
    assert row.realised_rows == 72
    assert row.error == pytest.approx(row.realised - row.value)
    assert row.is_covered is (row.low <= row.realised <= row.high)
    (found,) = read_status(championed, None)["problems"]
    shown = dict(live_lines(found))
    assert found["estimate"]["compared"][0]["realised"] == row.realised
    assert "for 80 answers, without their labels" in shown["estimate"]
    assert shown["estimates before"].endswith("of 1 intervals held")


def test_it_is_made_anew_only_after_enough_new_answers(championed: Settings) -> None:
    assert "estimate" not in dict(live_lines(read_status(championed, None)["problems"][0]))
    for first, n, n_estimates in ((400, 49, 0), (449, 1, 1), (450, 49, 1), (499, 1, 2)):
        serve_rows(championed, small_rows(first, n), "1", labels=False)
        look(championed, first + n)
        assert len(estimates_of(championed)) == n_estimates
    assert [row.n_rows for row in estimates_of(championed)] == [50, 100]


def test_an_old_estimate_is_compared_with_the_labels_there_are(
    championed: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tasks.estimate.PATIENCE", 1)
    frame = small_rows(400, 100)
    serve_rows(championed, frame, "1", labels=False)
    feed_back(championed, frame[:60])
    look(championed, 500)
    look(championed, 501)
    assert estimates_of(championed)[0].settled_at is None
    serve_rows(championed, small_rows(500, 50), "1", labels=False)
    look(championed, 550)
    look(championed, 551)
    assert [row.realised_rows for row in estimates_of(championed)] == [60, None]


def test_a_low_estimate_retrains_where_the_problem_says_so(championed: Settings) -> None:
    policy = small_problem().retrain.model_dump()
    rules = {"min_rows": 50, "window_rows": 100, "floor": 0.995}
    frame = small_rows(400, 100)
    serve_rows(championed, frame, "1", labels=False)
    told = small_settings(championed.home, performance=rules, retrain=policy)
    assert not tick(told, 500)["retrain"]
    asked = small_settings(
        championed.home, performance=rules, retrain={**policy, "on_estimate": True}
    )
    drop(asked, small_rows(700, 60), "labelled-elsewhere.csv")
    assert tick(asked, 760)["retrain"]
    newest = next(row for row in reversed(rows_of(asked, decisions)) if row.kind == "retrain")
    assert newest.trigger == "estimate"
    assert "roc_auc estimated at" in newest.reason
    assert newest.evidence["looks"]["estimate"] == [[100, 1]]
    assert newest.evidence["harm"] == "found"


def test_a_regression_is_estimated_by_the_losses_that_its_bundle_foretells(
    tmp_path: Path,
) -> None:
    settings = small_settings(tmp_path / "home", task="regression", classes=[], target="y")
    rng = np.random.default_rng(0)

    def rows(first: int, n: int) -> pd.DataFrame:
        frame = small_rows(first, n).drop(columns="label")
        return frame.assign(y=frame["x2"] + rng.normal(0, 0.5, n))

    drop(settings, rows(0, 400), "history.csv")
    assert tick(settings, 400)["challenger"]["outcome"] == "promoted"
    served = rows(400, 60)
    records = [
        PredictionRecord(
            "small", f"p-{row['row_id']}", "1", None, row["when"],
            [row[name] for name in FEATURES], row["x2"], None, b"{}", START,
        )
        for row in served.to_dict("records")
    ]  # fmt: skip
    engine = open_engine(settings.sql_url)
    store_records(engine, records)
    engine.dispose()
    look(settings, 460)
    (row,) = estimates_of(settings)
    # The mean of |N(0, 0.5)| is 0.4.
    assert row.metric == "mae"
    assert row.low < 0.4 < row.high
    feed_back(settings, served.assign(label=served["y"]))
    look(settings, 461)
    (row,) = estimates_of(settings)
    assert row.realised == pytest.approx(np.abs(served["y"] - served["x2"]).mean())
    assert len(rows_of(settings, models)) == 1


def test_a_bundle_without_calibration_says_that_nothing_can_be_estimated(
    championed: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load_older(run: Run, version: int | None = None) -> Champion | None:
        found = load_champion(run, version)
        assert found is not None
        return replace(found, manifest=msgspec.structs.replace(found.manifest, calibration=()))

    monkeypatch.setattr("tasks.estimate.load_champion", load_older)
    serve_rows(championed, small_rows(400, 60), "1")
    look(championed, 460)
    (row,) = estimates_of(championed)
    assert (row.value, row.is_below_floor) == (None, False)
    assert row.reason == "roc_auc cannot be estimated without labels for this model"
