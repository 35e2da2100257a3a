"""The gate in the loop: challengers that wait, labels that are not believed, what is kept."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from settings import Settings
from storage.database import open_engine
from storage.predictions import store_records
from storage.records import FeedbackItem, FeedbackRecord
from storage.tables import alerts, decisions, models
from tests.factories import (
    START,
    drop,
    rows_of,
    serve_rows,
    small_rows,
    small_settings,
    tick,
)

# Every 50 labelled rows are a reason to train; drift and low performance are none.
EAGER = {
    "volume_rows": 50,
    "min_new_rows": 50,
    "cooldown": "0s",
    "daily_budget": 50,
    "circuit_pause": "0s",
    "on_drift": False,
    "on_performance": False,
}


def states(settings: Settings) -> list[str]:
    return [row.state for row in rows_of(settings, models)]


def gates(settings: Settings) -> list[Any]:
    return [row for row in rows_of(settings, decisions) if row.kind == "gate"]


def kinds(settings: Settings) -> list[str]:
    return [row.kind for row in rows_of(settings, alerts)]


def check_of(settings: Settings, name: str) -> dict[str, Any] | None:
    checks = gates(settings)[-1].evidence["checks"]
    return next((check for check in checks if check["name"] == name), None)


def eager(settings: Settings, **changes: Any) -> Settings:
    """The champion's home with other rules."""
    return small_settings(settings.home, **{"retrain": EAGER, **changes})


UNSURE = {"min_rows": 30, "min_positives": 1000}  # nobody can say before a thousand


def test_a_challenger_nobody_can_judge_waits_and_is_judged_again(championed: Settings) -> None:
    settings = eager(championed, gate={**UNSURE, "looks": 3})
    drop(settings, small_rows(400, 300, turned=True), "a.csv")
    first = tick(settings, 700)["challenger"]
    assert (first["version"], first["outcome"]) == (2, "inconclusive")
    assert states(settings) == ["champion", "waiting"]
    assert "challenger_waits" in kinds(settings)
    n_rows = gates(settings)[-1].evidence["n_rows"]

    # Too few more rows: no look and, although the trigger is there, no other challenger.
    drop(settings, small_rows(700, 10, turned=True), "b.csv")
    few = tick(settings, 710)
    assert "challenger" not in few
    assert few["reason"].endswith("but version 2 waits for enough rows to be judged")

    drop(settings, small_rows(710, 100, turned=True), "c.csv")
    tick(settings, 810)
    assert [row.evidence["look"] for row in gates(settings)] == [1, 1, 2]
    assert gates(settings)[-1].evidence["n_rows"] == n_rows + 110
    assert states(settings) == ["champion", "waiting"]

    # Now the rarer class is asked for no more than it is there: the same challenger wins.
    settings = eager(championed, gate={"min_rows": 30, "min_positives": 60})
    drop(settings, small_rows(810, 300, turned=True), "d.csv")
    last = tick(settings, 1110)["challenger"]
    assert (last["version"], last["outcome"]) == (2, "promoted")
    assert states(settings) == ["archived", "champion"]
    told = rows_of(settings, alerts)[-1]
    assert told.kind == "promoted"
    assert "99.375% interval" in told.text  # the third look asks for more


def test_a_stronger_trigger_does_not_wait(championed: Settings) -> None:
    settings = eager(championed, gate=UNSURE)
    drop(settings, small_rows(400, 100), "a.csv")
    tick(settings, 500)
    settings = eager(championed, gate=UNSURE, retrain={**EAGER, "on_drift": True, "violations": 1})
    drop(settings, small_rows(500, 350, turned=True), "b.csv")

    assert tick(settings, 850)["challenger"]["version"] == 3
    assert states(settings)[:2] == ["champion", "superseded"]


def test_patience_ends(championed: Settings) -> None:
    settings = eager(championed, gate={**UNSURE, "patience": "1h"})
    drop(settings, small_rows(400, 100), "a.csv")
    tick(settings, 500)

    refused = tick(settings, 561)["challenger"]

    assert refused["outcome"] == "refused"
    assert "no proof in the time it had: " in refused["reason"]


def test_every_check_is_kept_with_its_number(championed: Settings) -> None:
    drop(championed, small_rows(400, 350, turned=True), "a.csv")
    assert tick(championed, 750)["challenger"]["outcome"] == "promoted"

    names = [check["name"] for check in gates(championed)[-1].evidence["checks"]]

    assert names[:4] == ["rows", "positives", "parity", "gain"]
    assert {"beats the dummy", "beats no change", "calibration", "latency", "size"} <= set(names)
    latency = check_of(championed, "latency")
    assert latency is not None
    assert latency["found"] > 0
    assert latency["outcome"] == "pass"


def test_feedback_judges_only_while_nobody_else_brings_labels(championed: Settings) -> None:
    serve_rows(championed, small_rows(400, 120, turned=True), "1")
    tick(championed, 520)
    judges = check_of(championed, "judges")
    assert judges is not None
    assert judges["found"] == 1.0
    assert "100% of the judged rows came by /feedback" in judges["text"]

    settings = eager(championed)
    drop(settings, small_rows(520, 150), "b.csv")
    serve_rows(settings, small_rows(670, 200, turned=True), "2")
    tick(settings, 870)
    assert check_of(settings, "judges") is None
    assert gates(settings)[-1].evidence["n_rows"] <= 150


def serve_echo(settings: Settings, frame: pd.DataFrame) -> None:
    """Predictions of version 1, each labelled with its own answer."""
    answers = np.where(frame["Air temperature [K]"] > 300, "yes", "no")
    ids = serve_rows(settings, frame, "1", labels=False)
    items = [FeedbackItem(one, str(said), START) for one, said in zip(ids, answers, strict=True)]
    engine = open_engine(settings.sql_url)
    store_records(engine, [FeedbackRecord("small", items, "evil", START)])
    engine.dispose()


def test_echoes_are_left_out_and_their_token_is_named(championed: Settings) -> None:
    settings = eager(championed)
    drop(settings, small_rows(400, 60), "a.csv")
    serve_echo(settings, small_rows(460, 300))
    tick(settings, 760)

    (told,) = [row for row in rows_of(settings, alerts) if row.kind == "labels_doubted"]
    assert "the client of token evil echoes predictions: 100.0% of 300 labels" in told.text
    echo = check_of(settings, "labels: echo")
    assert echo is not None
    assert echo["found"] == 1.0


def test_a_feature_that_begins_to_give_the_label_away_is_refused_by_name(
    championed: Settings,
) -> None:
    settings = eager(championed)
    rows = small_rows(400, 400)
    rows["x2"] = np.where(rows["label"] == "yes", 5.0, -5.0)
    drop(settings, rows, "a.csv")

    result = tick(settings, 800)["challenger"]

    assert result["outcome"] == "refused"
    assert "x2: predicts the target almost alone" in result["reason"]
    assert "it did not before" in result["reason"]
    lenient = eager(championed, trust={"new_leaks": "warn"})
    drop(lenient, rows.assign(row_id=[f"again-{n}" for n in range(400)]), "b.csv")
    assert tick(lenient, 1300)["challenger"]["outcome"] == "promoted"


def test_rows_kept_from_training_are_asked(championed: Settings) -> None:
    settings = eager(championed, gate={"min_rows": 30, "backtest_share": 0.2})
    drop(settings, small_rows(400, 800, turned=True), "b.csv")
    tick(settings, 1200)

    backtest = check_of(settings, "backtest")

    assert backtest is not None
    assert "older rows" in backtest["text"]
