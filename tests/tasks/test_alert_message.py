"""What is added to an alert when it is told: links to what is known, and a picture."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, insert

from learning import alert_text as say
from learning.alert import Alert
from learning.phrases import Gain
from settings import Settings
from storage import outbox
from storage.database import open_engine, reading, writing
from storage.outbox import Entry
from storage.tables import drift_results, metadata, models, performance_metrics, runs
from tasks.alert_message import Composer

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
REPORT = "http://127.0.0.1:8000/problems/churn/drift/report"
KNOWN = {"prefect_api_url": "http://prefect:4200/api", "mlflow_uri": "http://mlflow:5000/"}


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    opened = open_engine(f"sqlite:///{tmp_path / 'perennial.db'}")
    metadata.create_all(opened)
    with writing(opened) as connection:
        for number in range(3):
            _keep_checks(connection, number)
        run = {"run_id": "run-2", "problem": "churn", "flow": "continual", "epoch": 1}
        connection.execute(
            insert(runs).values(**run, state="done", flow_run_id="f-1", started_at=NOW)
        )
        version = {"problem": "churn", "version": 4, "run_id": "run-2", "state": "champion"}
        connection.execute(
            insert(models).values(
                **version, mlflow_version=7, metrics={}, clock=NOW, trained_at=NOW
            )
        )
    yield opened
    opened.dispose()


def _keep_checks(connection: Any, number: int) -> None:
    at = NOW + number * HOUR
    known = {"run_id": f"run-{number}", "problem": "churn", "model_version": "3", "reason": "r"}
    drift = {"is_drifted": True, "drift_share": number / 10, "n_reference": 9, "n_current": 9}
    connection.execute(
        insert(drift_results).values(
            **known, **drift, features=[], report="reports/x.html", clock=at, checked_at=at
        )
    )
    live = {"metric": "auc", "value": None if number == 1 else 0.8, "low": 0.7, "high": 0.9}
    empty: dict[str, Any] = {
        column.name: [] if "JSON" in str(column.type).upper() else None
        for column in performance_metrics.columns
        if not column.nullable and column.name in {"intervals", "rivals", "slices"}
    }
    connection.execute(
        insert(performance_metrics).values(
            **known, **live, **empty, n_rows=9, is_below_floor=False, metrics={}, clock=at,
            measured_at=at,
        )
    )  # fmt: skip


def composed(engine: Engine, alert: Alert, at: datetime = NOW + 2 * HOUR, **known: Any) -> Any:
    settings = Settings(_env_file=None, **known)  # type: ignore[call-arg]
    return Composer(settings, engine)(entry(engine, alert, at))


def entry(engine: Engine, alert: Alert, at: datetime) -> Entry:
    with writing(engine) as connection:
        outbox.post(connection, "churn", alert, f"run-2:{alert.kind}", at)
    with reading(engine) as connection:
        return outbox.latest(connection, "churn", 1)[0]


def drift() -> Alert:
    return say.drift_found(3, 0.2, 2, 10, 0.1, [])


def test_drift_links_to_its_report_and_run_and_shows_its_course(engine: Engine) -> None:
    message = composed(engine, drift(), **KNOWN)
    assert [(link.label, link.url) for link in message.links] == [
        ("Drift report", REPORT),
        ("Prefect run", "http://prefect:4200/runs/flow-run/f-1"),
    ]
    assert message.picture.startswith(b"\x89PNG")
    assert len(message.picture) < 60_000


def test_a_promotion_links_to_its_version_in_mlflow(engine: Engine) -> None:
    promoted = say.promoted(3, 4, Gain("auc", 0.1, 0.05, 0.2, 0.95), "it is better")
    message = composed(engine, promoted, **KNOWN)
    assert message.links[-1].url == "http://mlflow:5000/#/models/perennial-churn/versions/7"
    assert message.picture is None


def test_low_performance_shows_the_metric_with_gaps(engine: Engine) -> None:
    low = say.performance_below_floor(3, "auc", 0.5, (0.4, 0.6), 0.7, 100)
    assert composed(engine, low).picture.startswith(b"\x89PNG")


@pytest.mark.parametrize(
    "known",
    [
        {"api_host": "0.0.0.0", "mlflow_uri": "sqlite:///x.db"},
        {"api_host": "0.0.0.0", "prefect_api_url": "http://ada:secret@prefect/api"},
    ],
)
def test_what_is_not_known_or_holds_a_password_is_not_linked(
    engine: Engine, known: dict[str, Any]
) -> None:
    assert composed(engine, drift(), **known).links == ()


def test_the_addresses_as_people_open_them_win(engine: Engine) -> None:
    known = {"api_url": "https://api.example.org/", "prefect_ui_url": "https://p.example.org"}
    links = composed(engine, drift(), **KNOWN, **known).links
    assert links[0].url == "https://api.example.org/problems/churn/drift/report"
    assert links[1].url == "https://p.example.org/runs/flow-run/f-1"


def test_an_alert_whose_past_cannot_be_read_goes_out_plain(tmp_path: Path, engine: Engine) -> None:
    told = entry(engine, drift(), NOW)
    empty = open_engine(f"sqlite:///{tmp_path / 'empty.db'}")
    message = Composer(Settings(_env_file=None), empty)(told)  # type: ignore[call-arg]
    empty.dispose()
    assert (message.links, message.picture) == ((), None)


def test_an_alert_before_anything_was_measured_has_no_picture(engine: Engine) -> None:
    assert composed(engine, drift(), NOW - HOUR).picture is None
