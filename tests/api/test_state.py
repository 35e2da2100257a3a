"""Health, metrics, model and drift: what can be read of a server."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert

from settings import Settings
from storage.database import open_engine, upgrade, writing
from storage.tables import decisions, drift_results, models, performance_metrics, runs
from tests.api.servers import Api, running, wait_until
from tests.factories_bundles import promote, write_classifier

NOW = datetime.now(UTC)


@pytest.fixture
def filled(sql_settings: Settings) -> Settings:
    """Settings of a home where the loop has run once."""
    engine = open_engine(sql_settings.sql_url)
    with writing(engine) as connection:
        run = {"run_id": "r1", "problem": "demo", "flow": "monitor", "epoch": 1, "state": "done"}
        times = {"started_at": NOW, "ended_at": NOW - timedelta(seconds=60)}
        connection.execute(insert(runs).values({**run, **times}))
        for number, share in enumerate((0.9, 0.25)):
            connection.execute(insert(drift_results).values(a_check(number, share)))
        connection.execute(insert(performance_metrics).values(a_measurement()))
        connection.execute(insert(decisions).values(a_decision()))
        for version, state in enumerate(("archived", "archived", "champion"), 1):
            row = {"version": version, "run_id": f"m{version}", "state": state, "metrics": {}}
            values = {"problem": "demo", "clock": NOW, "trained_at": NOW - timedelta(hours=2)}
            connection.execute(insert(models).values({**row, **values}))
    engine.dispose()
    promote(sql_settings.store, write_classifier(sql_settings.store), 4)
    return sql_settings


def a_check(number: int, share: float) -> dict[str, Any]:
    return {
        "run_id": f"r{number}",
        "problem": "demo",
        "model_version": "1",
        "is_drifted": True,
        "drift_share": share,
        "n_reference": 100,
        "n_current": 50,
        "reason": "drift_share 0.25 > 0.10",
        "features": [{"name": "age", "statistic": 0.5}],
        "report": "reports/demo.html",
        "clock": NOW,
        "checked_at": NOW + timedelta(seconds=number),
    }


def a_measurement() -> dict[str, Any]:
    return {
        "run_id": "r1",
        "problem": "demo",
        "model_version": "1",
        "metric": "roc_auc",
        "value": 0.75,
        "low": 0.7,
        "high": 0.8,
        "floor": 0.6,
        "n_rows": 200,
        "is_below_floor": False,
        "reason": "fine",
        "metrics": {},
        "clock": NOW,
        "measured_at": NOW,
    }


def a_decision() -> dict[str, Any]:
    row = {"run_id": "r1", "problem": "demo", "kind": "retrain", "go": False, "reason": "calm"}
    return {**row, "evidence": {"max_age_seconds": 86400.0}, "clock": NOW, "decided_at": NOW}


def test_health_names_version_and_age_of_the_last_run(filled: Settings) -> None:
    with running(filled) as api:
        health = wait_until(lambda: (found := api.health())["last_run_age_seconds"] and found)
        assert health["status"] == "ok"
        assert health["reasons"] == []
        assert health["model_version"] == "1"
        # Not before the row was written, not after the answer was read.
        waited = (datetime.now(UTC) - NOW).total_seconds()
        assert 60 <= health["last_run_age_seconds"] <= 60 + waited


def test_the_latest_drift_check_is_shown_as_json(filled: Settings) -> None:
    with running(filled) as api:
        report = api.client.get("/drift/report").json()
    assert report["drift_share"] == 0.25
    assert report["features"] == [{"name": "age", "statistic": 0.5}]
    assert report["has_report"] is False


def test_the_drift_document_is_shown_to_browsers(filled: Settings) -> None:
    (filled.home / "reports").mkdir(parents=True)
    (filled.home / "reports" / "demo.html").write_text("<h1>Drift</h1>")
    with running(filled) as api:
        page = api.client.get("/drift/report", headers={"Accept": "text/html,*/*"})
        assert page.text == "<h1>Drift</h1>"
        assert page.headers["content-type"].startswith("text/html")
        assert "sandbox" in page.headers["content-security-policy"]


@pytest.mark.parametrize("name", ["../secret.html", "reports/../../secret.html", "/etc/passwd"])
def test_a_report_outside_its_folder_is_not_opened(
    open_settings: Settings, name: str, tmp_path: Path
) -> None:
    (tmp_path / "secret.html").write_text("secret")
    upgrade(open_settings.sql_url)
    engine = open_engine(open_settings.sql_url)
    with writing(engine) as connection:
        connection.execute(insert(drift_results).values({**a_check(1, 0.5), "report": name}))
    engine.dispose()
    with running(open_settings) as api:
        refusal = api.client.get("/drift/report", headers={"Accept": "text/html"})
    assert (refusal.status_code, refusal.json()["code"]) == (404, "no_drift_document")


def test_before_the_first_drift_check_there_is_no_report(sql_settings: Settings) -> None:
    with running(sql_settings) as api:
        refusal = api.client.get("/drift/report")
        assert (refusal.status_code, refusal.json()["code"]) == (404, "no_drift_report")


def test_model_info_tells_where_the_model_comes_from(api: Api) -> None:
    info = api.client.get("/model/info").json()
    assert (info["version"], info["generation"], info["state"]) == ("1", 1, "champion")
    assert (info["data_version"], info["threshold"]) == (3, 0.5)
    assert info["metrics"] == {"roc_auc": 0.9}
    assert info["classes"] == [0, 1]
    assert [feature["name"] for feature in info["schema"]] == ["age", "plan"]
    assert (api.store / "bundles" / "demo" / info["sha256"]).is_dir()


def test_metrics_count_requests_predictions_and_what_the_loop_found(filled: Settings) -> None:
    with running(filled) as api:
        for age in (50, 50, -50):
            api.predict(features=[age, None])
        api.client.get("/nowhere/at/all")
        api.drained()
        wait_until(lambda: "perennial_drift_share" in api.client.get("/metrics").text)
        text = api.client.get("/metrics").text
    for line in (
        'perennial_requests_total{route="/predict",status="200"} 3.0',
        'perennial_requests_total{route="unmatched",status="404"} 1.0',
        'perennial_request_seconds_count{route="/predict"} 3.0',
        'perennial_predictions_total{prediction="1",problem="demo"} 2.0',
        'perennial_predictions_total{prediction="0",problem="demo"} 1.0',
        'perennial_model_info{problem="demo",version="1"} 1.0',
        "perennial_swaps_total 1.0",
        "perennial_journal_backlog_rows 0.0",
        "perennial_journal_oldest_seconds 0.0",
        'perennial_drift_share{problem="demo"} 0.25',
        'perennial_drift_open{problem="demo"} 1.0',
        'perennial_live_metric{metric="roc_auc",problem="demo"} 0.75',
        'perennial_live_metric_low{metric="roc_auc",problem="demo"} 0.7',
        'perennial_live_metric_high{metric="roc_auc",problem="demo"} 0.8',
        'perennial_live_metric_floor{metric="roc_auc",problem="demo"} 0.6',
        'perennial_live_metric_rows{problem="demo"} 200.0',
        'perennial_live_below_floor{problem="demo"} 0.0',
        'perennial_model_age_limit_seconds{problem="demo"} 86400.0',
        'perennial_versions{problem="demo",state="archived"} 2.0',
        'perennial_versions{problem="demo",state="champion"} 1.0',
        'perennial_quarantined_rows{problem="demo"} 0.0',
    ):
        assert line in text
    assert 'perennial_last_run_age_seconds{problem="demo"} ' in text
    age = re.search(r'perennial_model_age_seconds\{problem="demo"\} (\S+)', text)
    assert age is not None
    assert 7200 <= float(age[1]) < 7500
