"""The whole system at once: real rows, real HTTP clients, real feedback, drift, and a swap."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pandas as pd
import pytest

from storage.tables import predictions, releases
from tests.api.servers import Api, running, wait_until
from tests.factories import FEATURES, bootstrap, rows_of, small_rows, small_settings, tick

N_CLIENTS = 3


@dataclass(frozen=True)
class Answer:
    """What came back for one row; ``began`` is the wall clock when it was sent."""

    row_id: str
    began: datetime
    status: int
    version: str | None
    prediction_id: str | None


def ask(client: httpx.Client, row: dict[str, Any]) -> Answer:
    """One prediction over HTTP."""
    body = {
        "features": {name: row[name] for name in FEATURES},
        "key": row["row_id"],
        "event_time": row["when"].isoformat(),
    }
    began = datetime.now(UTC)
    response = client.post("/predict", json=body)
    found = response.json()
    return Answer(
        row["row_id"],
        began,
        response.status_code,
        found.get("model_version"),
        found.get("prediction_id"),
    )


def ask_all(client: httpx.Client, frame: pd.DataFrame) -> list[Answer]:
    """Predictions of all rows, by several clients at once."""
    with ThreadPoolExecutor(N_CLIENTS) as pool:
        return list(pool.map(lambda row: ask(client, row), frame.to_dict("records")))


def feed_back(client: httpx.Client, answers: list[Answer], frame: pd.DataFrame) -> None:
    """What really happened to these rows."""
    labels = dict(zip(frame["row_id"], frame["label"], strict=True))
    items = [
        {"prediction_id": answer.prediction_id, "actual": labels[answer.row_id]}
        for answer in answers
    ]
    assert client.post("/feedback", json={"items": items}).status_code == 200


class Traffic:
    """Clients that go on asking for as long as the block runs."""

    def __init__(self, client: httpx.Client, frame: pd.DataFrame) -> None:
        self.answers: list[Answer] = []
        self._client = client
        self._rows = iter(frame.to_dict("records"))
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._threads = [threading.Thread(target=self._ask) for _ in range(N_CLIENTS)]

    def _ask(self) -> None:
        while not self._stopped.wait(0.005):
            with self._lock:
                row = next(self._rows, None)
            if row is None:
                return
            self.answers.append(ask(self._client, row))

    def __enter__(self) -> Traffic:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._stopped.set()
        for thread in self._threads:
            thread.join()


def versions(answers: list[Answer]) -> set[str | None]:
    """The versions that answered."""
    return {answer.version for answer in answers}


@pytest.mark.slow
def test_the_loop_notices_drift_and_swaps_the_model_under_traffic(tmp_path: Path) -> None:
    began = time.monotonic()
    settings = small_settings(tmp_path / "home")
    assert bootstrap(settings)["challenger"]["outcome"] == "promoted"
    with running(settings, "small") as api:
        calm, wild = small_rows(400, 120), small_rows(520, 350, turned=True)
        answers = ask_all(api.client, calm)
        feed_back(api.client, answers, calm)
        api.drained()
        assert not tick(settings, 520)["retrain"]
        answers += ask_all(api.client, wild)
        assert versions(answers) == {"1"}
        feed_back(api.client, answers[len(calm) :], wild)
        api.drained()
        with Traffic(api.client, small_rows(870, 20_000, turned=True)) as traffic:
            wait_until(lambda: len(traffic.answers) > 20)
            result = tick(settings, 870)
            n_at_promotion = len(traffic.answers)
            wait_until(lambda: len(traffic.answers) > n_at_promotion + 50)
        assert result["challenger"]["outcome"] == "promoted", result
        assert_swapped_cleanly(api, traffic.answers)
        assert_all_stored(api, answers + traffic.answers)
    assert time.monotonic() - began < 60


def assert_swapped_cleanly(api: Api, answers: list[Answer]) -> None:
    """No request failed, and none that began after the acknowledgement got the old version."""
    assert {answer.status for answer in answers} == {200}
    assert versions(answers) == {"1", "2"}
    acknowledged = rows_of(api.settings, releases)[-1].acknowledged_at
    after = [answer for answer in answers if answer.began > acknowledged]
    assert len(after) > 50
    assert versions(after) == {"2"}


def assert_all_stored(api: Api, answers: list[Answer]) -> None:
    """Each answer has one row, of the version that it named."""
    api.drained()
    stored = {row.prediction_id: row.model_version for row in rows_of(api.settings, predictions)}
    assert stored == {answer.prediction_id: answer.version for answer in answers}
