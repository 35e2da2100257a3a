"""A real Prometheus scrapes the real API under a little load and answers every panel's query."""

from __future__ import annotations

import itertools
import json
import shutil
import signal
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from sqlalchemy import insert

from settings import CHECKOUT, Settings
from storage.database import open_engine, upgrade, writing
from storage.tables import decisions, drift_results, models, performance_metrics, runs
from tests.api.servers import ServerProcess, free_port, wait_until
from tests.factories_bundles import promote, write_classifier

pytestmark = pytest.mark.slow
PROMETHEUS = CHECKOUT / "deployments" / "prometheus"
NOW = datetime.now(UTC)
# What has no series while nothing goes wrong, or in a problem with classes.
MAY_BE_EMPTY = {"perennial:errors:rate5m", "refusals_total", "mean_absolute_error", "live_auc"}


def fill(settings: Settings) -> None:
    """What a loop leaves in SQL, so that every gauge has a number."""
    upgrade(settings.sql_url)
    base = {"run_id": "r1", "problem": "demo", "reason": "as it is", "clock": NOW}
    drift = {"model_version": "1", "is_drifted": True, "drift_share": 0.5, "n_reference": 9,
             "n_current": 9, "features": [], "checked_at": NOW}  # fmt: skip
    live = {"model_version": "1", "metric": "roc_auc", "value": 0.7, "low": 0.6, "high": 0.8,
            "floor": 0.5, "n_rows": 90, "is_below_floor": False, "metrics": {},
            "measured_at": NOW}  # fmt: skip
    run = {"flow": "continual", "epoch": 1, "state": "done", "started_at": NOW, "ended_at": NOW}
    evidence = {"max_age_seconds": 60.0, "every_seconds": 30.0}
    asked = {"kind": "retrain", "go": False, "evidence": evidence, "decided_at": NOW}
    model = {"version": 1, "state": "champion", "metrics": {},
             "trained_at": NOW - timedelta(hours=2)}  # fmt: skip
    rows = ((drift_results, drift), (performance_metrics, live), (runs, run), (decisions, asked),
            (models, model))  # fmt: skip
    engine = open_engine(settings.sql_url)
    with writing(engine) as connection:
        for table, values in rows:
            connection.execute(insert(table).values({**base, **values}))
    engine.dispose()


@pytest.fixture
def api(settings: Settings) -> Iterator[ServerProcess]:
    """The API with two workers, a champion and what the loop wrote."""
    settings.home.mkdir()
    fill(settings)
    promote(settings.store, write_classifier(settings.store), 1)
    process = ServerProcess(settings.home, free_port(), 2)
    try:
        wait_until(process.answers, 60)
        yield process
    finally:
        process.stop()


@pytest.fixture
def prometheus(api: ServerProcess, tmp_path: Path) -> Iterator[httpx.Client]:
    """A Prometheus with the shipped rules that looks twice a second."""
    program = shutil.which("prometheus")
    if program is None:
        pytest.skip("prometheus is not on this machine: apt-get install prometheus")
    config = yaml.safe_load((PROMETHEUS / "local.yml").read_text())
    config["global"] = {"scrape_interval": "500ms", "evaluation_interval": "500ms"}
    config["rule_files"] = [str(PROMETHEUS / "rules" / "*.yml")]
    config["scrape_configs"][0]["static_configs"] = [{"targets": [f"127.0.0.1:{api.port}"]}]
    (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(config))
    port = free_port()
    process = subprocess.Popen(
        [program, f"--config.file={tmp_path / 'prometheus.yml'}",
         f"--storage.tsdb.path={tmp_path / 'tsdb'}", f"--web.listen-address=127.0.0.1:{port}"],
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}/api/v1", timeout=10) as client:
            yield client
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(20)


def ask(client: httpx.Client, query: str) -> list[dict[str, Any]]:
    """The samples of a query now; none while Prometheus starts."""
    try:
        answer = client.get("query", params={"query": query})
    except httpx.TransportError:
        return []
    if answer.status_code == 503:
        return []
    body = answer.json()
    assert body["status"] == "success", (query, body)
    found: list[dict[str, Any]] = body["data"]["result"]
    return found


def test_every_panel_and_rule_has_an_answer_from_the_real_api(
    api: ServerProcess, prometheus: httpx.Client
) -> None:
    numbers = itertools.count()

    def load(client: httpx.Client) -> None:
        name = f"p{next(numbers)}"
        body = {"features": [50, None], "prediction_id": name}
        assert client.post("/predict", json=body).status_code == 200
        label = {"prediction_id": name, "actual": 1}
        assert client.post("/feedback", json=label).status_code == 200

    queries = [
        target["expr"].replace("$problem", ".*")
        for file in (CHECKOUT / "deployments" / "grafana" / "dashboards").glob("*.json")
        for panel in json.loads(file.read_text())["panels"]
        for target in panel["targets"]
    ]
    expected = [query for query in queries if not any(word in query for word in MAY_BE_EMPTY)]
    assert len(expected) > 25
    with httpx.Client(base_url=api.address, timeout=20) as client, ThreadPoolExecutor(4) as pool:
        missing = list(expected)

        def all_answered() -> bool:
            list(pool.map(load, [client] * 20))
            missing[:] = [query for query in missing if not ask(prometheus, query)]
            return not missing

        wait_until(all_answered, 90)
        for query in set(queries) - set(expected):
            ask(prometheus, query)  # it is a query, if one without samples
        total = sum(
            float(sample["value"][1])
            for sample in ask(prometheus, 'perennial_requests_total{route="/predict",status="200"}')
        )
    assert 0 < total <= next(numbers)
    groups = prometheus.get("rules").json()["data"]["groups"]
    health = {rule["name"]: rule["health"] for group in groups for rule in group["rules"]}
    assert len(health) == 16
    assert set(health.values()) == {"ok"}
    alerts = {each["metric"]["alertname"] for each in ask(prometheus, "ALERTS")}
    # They hold already, and sound once they have for as long as the rules say.
    assert {"PerennialDriftOpen", "PerennialModelOld"} <= alerts
    assert "PerennialErrors" not in alerts
