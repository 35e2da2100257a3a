"""Live performance in the loop: beside rivals, by slice, shown in the status."""

from __future__ import annotations

import dataclasses
import io
from datetime import timedelta
from typing import Any

import msgspec
import numpy as np
import pytest
from rich.console import Console
from sklearn import metrics as sk

from learning.performance_rules import Slice
from operate.status import read_status, show_status
from settings import Settings
from storage.bundles import bundle_folder
from storage.database import open_engine
from storage.predictions import store_records
from storage.records import FeedbackItem, FeedbackRecord, PredictionRecord
from storage.tables import alerts, decisions, models, performance_metrics
from tasks.champion import Champion, load_champion
from tasks.performance import watch_performance
from tasks.run import Run
from tests.factories import (
    FEATURES,
    START,
    rows_of,
    serve_rows,
    small_rows,
    small_run,
    small_settings,
    tick,
)


def serve_in_turn(settings: Settings, first: int, n: int, version: str = "1") -> np.ndarray:
    """Serve rows one a minute, the label of each half a minute later; returns the labels."""
    records: list[Any] = []
    frame = small_rows(first, n)
    for row in frame.to_dict("records"):
        name, chance = f"p-{row['row_id']}", 0.7 if row["x2"] < 0 else 0.3
        values = [row[feature] for feature in FEATURES]
        said, both = "yes" if chance > 0.5 else "no", [1 - chance, chance]
        records.append(
            PredictionRecord(
                "small", name, version, None, row["when"], values, said, both, b"{}", row["when"]
            )
        )
        arrived = row["when"] + timedelta(seconds=30)
        items = [FeedbackItem(name, row["label"], arrived)]
        records.append(FeedbackRecord("small", items, None, arrived))
    engine = open_engine(settings.sql_url)
    store_records(engine, records)
    engine.dispose()
    return (frame["label"] == "yes").to_numpy().astype(float)


def look(settings: Settings, row: int) -> None:
    """One look at the answers, when row number ``row`` has just happened."""
    with small_run(settings, row, "monitor") as run:
        watch_performance(run)


def rivals_of(row: Any) -> dict[str, dict[str, Any]]:
    return {rival["name"]: rival for rival in row.rivals}


def test_the_champion_stands_beside_no_change_the_frozen_model_and_a_dummy(
    championed: Settings,
) -> None:
    y = serve_in_turn(championed, 400, 80)
    look(championed, 480)
    (row,) = rows_of(championed, performance_metrics)
    rivals = rivals_of(row)
    assert set(rivals) == {"no_change", "frozen", "dummy"}
    assert rivals["no_change"]["n_rows"] == 79  # before the first, no label had arrived
    assert rivals["no_change"]["value"] == pytest.approx(sk.roc_auc_score(y[1:], y[:-1]))
    assert (rivals["frozen"]["value"], rivals["frozen"]["gain"]) == (row.value, 0)
    assert rivals["dummy"]["value"] == 0.5
    assert set(row.intervals) == set(row.metrics)
    assert (row.label_share, row.floor is not None) == (1.0, True)


def test_the_frozen_first_model_is_asked_about_rows_of_its_successors(
    championed: Settings,
) -> None:
    serve_rows(championed, small_rows(400, 350, turned=True), "1")
    assert tick(championed, 750)["challenger"]["outcome"] == "promoted"
    serve_rows(championed, small_rows(750, 80, turned=True), "2")
    tick(championed, 830)
    decided = [row for row in rows_of(championed, decisions) if row.kind == "retrain"][-1]
    # Another champion starts with no windows of its predecessor.
    assert decided.evidence["champion"] == "2"
    assert [opened for opened, _ in decided.evidence["looks"]["drift"]] == [830]
    row = rows_of(championed, performance_metrics)[-1]
    frozen = rivals_of(row)["frozen"]
    # The world turned around, the first model with its old relation did not.
    assert frozen["value"] < 0.3
    assert frozen["gain"] == pytest.approx(row.value - frozen["value"])
    first = rows_of(championed, models)[0].bundle
    (bundle_folder(championed.store, "small", first) / "model.onnx").unlink()
    serve_rows(championed, small_rows(830, 5, turned=True), "2")
    look(championed, 840)
    assert "frozen" not in rivals_of(rows_of(championed, performance_metrics)[-1])


def test_slices_and_rivals_stand_in_the_status(championed: Settings) -> None:
    slices = [
        Slice(by="plan").model_dump(),
        Slice(by="Air temperature [K]", edges=(300,)).model_dump(),
    ]
    settings = small_settings(
        championed.home, slices=slices, performance={"min_rows": 20, "floor": 0.99}
    )
    serve_in_turn(settings, 400, 120)
    look(settings, 520)
    status = read_status(settings, None)
    (found,) = status["problems"]
    names = [part["name"] for part in found["live_metric"]["slices"]]
    assert names == ["plan = basic", "plan = pro", *names[2:]]
    assert names[2:] == ["Air temperature [K] < 300", "Air temperature [K] ≥ 300"]
    assert [point["value"] for point in found["live_course"]] == [found["live_metric"]["value"]]
    text = io.StringIO()
    show_status(status, Console(file=text, width=300))
    shown = " ".join(text.getvalue().split())
    assert "100% of the labels arrived" in shown
    assert "no change 0." in shown
    assert "dummy 0.500 (gain " in shown
    assert "where plan = basic" in shown


def test_turns_without_new_labels_add_nothing_to_the_course(championed: Settings) -> None:
    serve_in_turn(championed, 400, 60)
    for row in (460, 461, 462):
        look(championed, row)
    assert len(rows_of(championed, performance_metrics)) == 1
    serve_in_turn(championed, 460, 1)
    look(championed, 463)
    assert len(rows_of(championed, performance_metrics)) == 2


def test_labels_that_are_not_due_yet_are_not_judged(championed: Settings) -> None:
    settings = small_settings(championed.home, label_delay="30m")
    serve_in_turn(settings, 400, 90)
    look(settings, 490)
    (row,) = rows_of(settings, performance_metrics)
    assert row.n_rows == 61
    assert START + timedelta(minutes=460) <= row.clock - timedelta(minutes=30)


def test_the_floor_is_by_what_the_champion_is_expected_to_reach(
    championed: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(run: Run) -> Champion:
        champion = load_champion(run)
        assert champion is not None
        manifest = msgspec.structs.replace(champion.manifest, expected=0.99)
        return dataclasses.replace(champion, manifest=manifest)

    serve_in_turn(championed, 400, 80)
    look(championed, 480)
    monkeypatch.setattr("tasks.performance.load_champion", load)
    serve_in_turn(championed, 480, 20)
    look(championed, 500)

    before, after = rows_of(championed, performance_metrics)

    assert after.floor == pytest.approx(0.94)
    assert before.floor != pytest.approx(0.94, abs=1e-6)


def test_an_incident_closes_at_the_floor_and_not_where_it_may_be_below(
    championed: Settings,
) -> None:
    def told_with(floor: float) -> list[str]:
        rules = {"min_rows": 20, "metric": "accuracy", "floor": floor}
        settings = small_settings(championed.home, performance=rules)
        look(settings, 520)
        told = [row.kind for row in rows_of(settings, alerts)]
        return [kind for kind in told if kind.startswith("performance")]

    y = serve_in_turn(championed, 400, 120)
    x2 = small_rows(400, 120)["x2"].to_numpy()
    accuracy = float(((x2 < 0) == (y > 0.5)).mean())

    assert told_with(min(accuracy + 0.15, 1.0)) == ["performance_below_floor"]
    assert told_with(accuracy + 0.01) == ["performance_below_floor"]
    assert told_with(accuracy) == ["performance_below_floor", "performance_recovered"]
