"""The whole loop without Prefect: from the first rows to a challenger that takes over."""

from __future__ import annotations

from pathlib import Path

import pytest

from settings import Settings
from storage.pointers import read_pointer
from storage.tables import (
    alerts,
    decisions,
    drift_results,
    models,
    performance_metrics,
    releases,
    runs,
)
from tasks import drift_report
from tasks.report_process import Request
from tests.factories import (
    bootstrap,
    count,
    drop,
    rows_of,
    serve_rows,
    small_rows,
    small_settings,
    tick,
)


def kinds(settings: Settings) -> list[str]:
    """Kinds of the alerts, in order."""
    return [row.kind for row in rows_of(settings, alerts)]


def test_nothing_is_trained_before_there_are_enough_rows(small: Settings) -> None:
    drop(small, small_rows(0, 100), "a.csv")
    result = tick(small, 100)
    assert not result["retrain"]
    assert result["reason"] == "no champion yet, and 100 labelled rows of 200 needed"
    assert read_pointer(small.store, "small") is None


def test_the_loop_bootstraps_watches_retrains_and_swaps(tmp_path: Path, database_url: str) -> None:
    settings = small_settings(tmp_path / "home", database_url)
    assert bootstrap(settings)["challenger"]["outcome"] == "promoted"
    serve_rows(settings, small_rows(400, 120), "1")
    assert not tick(settings, 520)["retrain"]
    serve_rows(settings, small_rows(520, 350, turned=True), "1")
    result = tick(settings, 870)
    assert result["ingested"] == {"feedback": {"rows": 350, "quarantined": 0}}
    assert result["challenger"]["outcome"] == "promoted"
    pointer = read_pointer(settings.store, "small")
    assert pointer is not None
    assert (pointer.generation, pointer.version) == (2, "2")
    assert [row.state for row in rows_of(settings, models)] == ["archived", "champion"]
    assert [row.state for row in rows_of(settings, releases)] == ["promoted", "promoted"]
    assert [row.is_drifted for row in rows_of(settings, drift_results)] == [False, True]
    values = [row.value for row in rows_of(settings, performance_metrics)]
    assert values[0] > 0.7 > values[1]
    assert {row.state for row in rows_of(settings, runs)} == {"done"}
    told = kinds(settings)
    assert told[:3] == ["batch_ingested", "retrain_started", "first_champion"]
    assert told[-1] == "promoted"
    assert {"all_well", "drift_found", "performance_below_floor"} <= set(told)
    gate = [row for row in rows_of(settings, decisions) if row.kind == "gate"]
    assert gate[-1].evidence["gain_low"] > 0
    assert list((settings.home / "reports" / "small").glob("*.html"))


def test_a_challenger_that_is_no_better_is_refused_and_needs_more_rows(
    championed: Settings,
) -> None:
    settings = small_settings(
        championed.home,
        retrain={"volume_rows": 50, "min_new_rows": 50},
        gate={"min_rows": 30, "looks": 1},
    )
    drop(settings, small_rows(400, 100), "more.csv")
    result = tick(settings, 1000)
    assert result["challenger"]["outcome"] == "refused"
    assert [row.state for row in rows_of(settings, models)] == ["champion", "refused"]
    drop(settings, small_rows(500, 60), "yet-more.csv")
    later = tick(settings, 3000)
    assert later["reason"].endswith("only 60 new labelled rows of 100 needed")
    pointer = read_pointer(settings.store, "small")
    assert pointer is not None
    assert pointer.version == "1"


def test_rows_that_cannot_train_a_model_are_a_refusal_and_no_crash(small: Settings) -> None:
    drop(small, small_rows(0, 300).assign(label="no"), "one-class.csv")
    result = tick(small, 300)
    assert result["challenger"]["outcome"] == "refused"
    assert kinds(small)[-1] == "challenger_refused"
    assert rows_of(small, models)[0].state == "refused"


def test_a_report_shows_the_check_that_was_made_although_a_challenger_took_over(
    championed: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:

    drawn: list[float] = []

    def render(request: Request) -> str:
        drawn.append(float(request.reference[:, 0].mean()))
        return "<html>"

    monkeypatch.setattr(drift_report, "draw", render)
    serve_rows(championed, small_rows(400, 350, turned=True), "1")
    assert tick(championed, 750)["challenger"]["outcome"] == "promoted"
    assert drawn[0] == pytest.approx(300, abs=1.5)


def test_a_report_that_cannot_be_drawn_fails_nothing(
    championed: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:

    def fail(*_arguments: object) -> str:
        raise ValueError("Evidently is unwell")

    monkeypatch.setattr(drift_report, "draw", fail)
    serve_rows(championed, small_rows(400, 100, turned=True), "1", labels=False)
    tick(championed, 500)
    assert {row.state for row in rows_of(championed, runs)} == {"done"}
    assert count(championed, drift_results) == 1
