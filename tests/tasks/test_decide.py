"""The decision in the loop: what it remembers from turn to turn."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import insert

from settings import Settings
from storage import reports
from storage.database import open_engine, writing
from storage.tables import alerts, decisions, models
from tasks.decide import decide
from tests.factories import (
    START,
    rows_of,
    serve_rows,
    small_problem,
    small_rows,
    small_run,
    small_settings,
    tick,
)


def policy(**changes: Any) -> dict[str, Any]:
    """The small problem's policy with some keys changed."""
    return {**small_problem().retrain.model_dump(), **changes}


@pytest.fixture
def patient(championed: Settings) -> Settings:
    """The home of a champion whose problem asks for two violated windows."""
    return small_settings(championed.home, retrain=policy(violations=2))


def newest(settings: Settings, kind: str = "retrain") -> Any:
    """The newest decision of a kind."""
    return [row for row in rows_of(settings, decisions) if row.kind == kind][-1]


def test_one_bad_window_waits_for_another_with_new_rows(patient: Settings) -> None:
    serve_rows(patient, small_rows(400, 150, turned=True), "1")
    first = tick(patient, 550)
    again = tick(patient, 551)
    assert (first["retrain"], again["retrain"]) == (False, False)
    with small_run(patient, 552, flow="retrain") as run:
        assert decide(run, None, None, manual_reason="why").go  # forgets no window
    assert first["reason"].endswith("in 1 of the last 1 windows; 2 of 5 and the newest are needed")
    assert newest(patient).evidence["looks"]["drift"] == [[550, 1]]
    serve_rows(patient, small_rows(550, 60, turned=True), "1")
    assert tick(patient, 610)["challenger"]["outcome"] == "promoted"
    assert newest(patient).evidence["looks"]["drift"] == [[550, 1], [610, 1]]
    assert newest(patient).evidence["champion"] == "1"


def test_three_refusals_open_the_circuit_and_are_told_by_kind(championed: Settings) -> None:
    settings = small_settings(championed.home, retrain=policy(volume_rows=50, circuit_pause="1w"))
    at = {"problem": "small", "clock": START + timedelta(minutes=401)}
    with writing(engine := open_engine(settings.sql_url)) as connection:
        for version in (2, 3, 4):
            run = {**at, "run_id": f"run-{version}"}
            values = {"version": version, "state": "refused", "metrics": {}, "trained_at": START}
            connection.execute(insert(models).values(**run, **values))
            evidence = {"n_labelled": 400}
            values = {"kind": "retrain", "go": True, "trigger": "volume", "evidence": evidence}
            reports.save_decision(connection, {**run, **values, "reason": "test"})
    engine.dispose()
    serve_rows(settings, small_rows(400, 400), "1")
    assert tick(settings, 800)["reason"].endswith(
        "but the circuit is open: 3 challengers refused in a row (volume); the next is tried 1w "
        "after the last attempt, at another kind of trigger, or by hand"
    )
    assert newest(settings).evidence["is_circuit_open"]
    assert "circuit_open" in [row.kind for row in rows_of(settings, alerts)]
    assert newest(settings).evidence["rows_needed"] == 400
