"""Several workers behind one port: as one server to whoever asks."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr

from api.serve import ServeError, serve
from settings import Settings
from storage.database import open_engine, reading
from storage.pointers import acknowledgements
from storage.tables import feedback, predictions
from tests.api.servers import Api, ServerProcess, free_port, running, wait_until
from tests.factories_bundles import promote, promote_version, write_classifier

N_WORKERS = 3


@pytest.fixture
def pair(open_settings: Settings) -> Iterator[tuple[Api, Api]]:
    """Two servers on one home whose SQL is away: what they know is in their journals."""
    promote(open_settings.store, write_classifier(open_settings.store), 1)
    away = SecretStr("postgresql://nobody@127.0.0.1:9/none")
    settings = open_settings.model_copy(update={"database_url": away})
    with ExitStack() as stack:
        yield stack.enter_context(running(settings)), stack.enter_context(running(settings))


@pytest.fixture
def server(settings: Settings) -> Iterator[ServerProcess]:
    """A server process with three workers that answers with version 1."""
    settings.home.mkdir()
    promote_version(settings.store, 1)
    process = ServerProcess(settings.home, free_port(), N_WORKERS)
    try:
        wait_until(lambda: len(acknowledgements(settings.store, "demo")) == N_WORKERS)
        yield process
    finally:
        process.stop()


def gone(pids: list[int]) -> bool:
    return not any(Path(f"/proc/{pid}").exists() for pid in pids)


def test_an_id_that_another_worker_answered_gets_its_answer(pair: tuple[Api, Api]) -> None:
    one, other = pair
    first = one.predict(features=[1, None], prediction_id="order-1")
    again = other.predict(features=[99, None], prediction_id="order-1")
    assert (first.status_code, again.status_code) == (200, 200)
    assert first.text == again.text


def test_an_id_sent_to_two_workers_at_once_is_answered_once(pair: tuple[Api, Api]) -> None:
    def ask(number: int) -> str:
        return pair[number % 2].predict(features=[number, None], prediction_id="once").text

    with ThreadPoolExecutor(8) as clients:
        assert len(set(clients.map(ask, range(40)))) == 1


def test_a_label_for_another_workers_prediction_is_taken_once(pair: tuple[Api, Api]) -> None:
    one, other = pair
    one.predict(features=[1, None], prediction_id="p1")
    label = {"prediction_id": "p1", "actual": 1}
    assert other.client.post("/feedback", json=label).json()["accepted"] == 1
    assert other.client.post("/feedback", json=label).json()["duplicates"] == 1
    assert one.client.post("/feedback", json=label).json()["duplicates"] == 1
    conflict = one.client.post("/feedback", json={**label, "actual": 0})
    assert (conflict.status_code, conflict.json()["code"]) == (409, "conflicting_label")


def test_another_workers_prediction_can_be_read_with_its_label(pair: tuple[Api, Api]) -> None:
    one, other = pair
    answer = one.predict(features={"age": 3}, prediction_id="p1").json()
    one.client.post("/feedback", json={"prediction_id": "p1", "actual": 1})
    found = other.client.get("/predictions/p1").json()
    assert found["answer"] == answer
    assert found["features"] == {"age": 3, "plan": None}
    assert found["feedback"] == one.client.get("/predictions/p1").json()["feedback"]


def test_a_label_drains_after_the_prediction_that_another_worker_still_keeps(
    open_settings: Settings,
) -> None:
    promote_version(open_settings.store, 1)
    with running(open_settings) as other:
        wait_until(lambda: other.health()["status"] == "ok")
        away = open_settings.model_copy(
            update={"database_url": SecretStr("postgresql://nobody@127.0.0.1:9/none")}
        )
        with running(away) as one:
            one.predict(features=[1], prediction_id="p1")
            label = {"prediction_id": "p1", "actual": 2.5}
            assert other.client.post("/feedback", json=label).status_code == 200
            other.drained()
            with reading(other.runtime.engine) as connection:
                assert connection.execute(predictions.select()).one().prediction_id == "p1"
                assert connection.execute(feedback.select()).one().actual == 2.5


@pytest.mark.parametrize("workers", [0, -1])
def test_an_impossible_number_of_workers_is_refused(settings: Settings, workers: int) -> None:
    with pytest.raises(ServeError, match="expected 1 or more"):
        serve(settings, ("demo",), "127.0.0.1", free_port(), workers)


def test_the_settings_say_how_many_workers_unless_asked_otherwise(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    class Counted:
        def __init__(self, n_workers: int, _work: Callable[[], None]) -> None:
            asked.append(n_workers)

        def run(self) -> None:
            """Start none."""

    monkeypatch.setattr("api.serve.Supervisor", Counted)
    three = settings.model_copy(update={"api_workers": 3, "api_insecure": True})
    serve(three, ("demo",), "127.0.0.1", free_port())
    serve(three, ("demo",), "127.0.0.1", free_port(), 2)
    assert asked == [3, 2]


@pytest.mark.slow
def test_a_dead_worker_is_replaced_and_a_stop_ends_all(
    settings: Settings, server: ServerProcess
) -> None:
    before = server.worker_ids()
    assert len(before) == N_WORKERS
    os.kill(before[0], signal.SIGKILL)
    wait_until(lambda: len(set(server.worker_ids()) - {before[0]}) == N_WORKERS)
    after = server.worker_ids()
    wait_until(server.answers)
    assert server.stop() == 0
    assert gone([*before, *after])
    assert list((settings.home / "serving").glob(".workers-*")) == []
    # The one that was killed could not take its word back: it is too old to count soon.
    wait_until(lambda: acknowledgements(settings.store, "demo") == [])


@pytest.mark.slow
def test_workers_end_when_their_parent_is_killed(server: ServerProcess) -> None:
    workers = server.worker_ids()
    assert len(workers) == N_WORKERS
    assert not gone(workers[:1])
    server.kill()
    wait_until(lambda: gone(workers), 20)
    assert not server.answers()


@pytest.mark.slow
def test_metrics_add_up_over_workers_and_never_fall(
    settings: Settings, server: ServerProcess
) -> None:
    def counted() -> float:
        # A new connection each time, so that any of the workers may be asked.
        text = httpx.get(f"{server.address}/metrics").text
        found = re.search(r"perennial_predictions_total\{[^}]*\} (\S+)", text)
        return float(found[1]) if found else 0.0

    def errors() -> list[str]:
        text = httpx.get(f"{server.address}/metrics").text
        return re.findall(r"perennial_live_(?:labels|mean_absolute_error)\{[^}]*\} (\S+)", text)

    for number in range(60):
        body = {"features": [1], "prediction_id": f"p{number}"}
        httpx.post(f"{server.address}/predict", json=body).raise_for_status()
    for number, actual in enumerate([1, 2, 3, 6]):
        body = {"prediction_id": f"p{number}", "actual": actual}
        httpx.post(f"{server.address}/feedback", json=body).raise_for_status()
    # Whichever worker took a label and whichever is asked.
    assert [errors() for _ in range(8)] == [["4.0", "2.0"]] * 8
    wait_until(lambda: counted() == 60)
    wait_until(lambda: all(counted() == 60 for _ in range(5)))
    os.kill(server.worker_ids()[0], signal.SIGKILL)
    assert all(counted() == 60 for _ in range(10))
    text = httpx.get(f"{server.address}/metrics").text
    assert 'perennial_model_info{problem="demo",version="1"} 1.0' in text
    assert "perennial_swaps_total" in text
    assert server.stop() == 0
    engine = open_engine(settings.sql_url)
    with reading(engine) as connection:
        assert len(connection.execute(predictions.select()).all()) == 60
    engine.dispose()
