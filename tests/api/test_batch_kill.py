"""Batches and `kill -9`: what was acknowledged is in SQL once; and what a start loads."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path

import httpx
import pytest
from sqlalchemy import select

from storage.database import open_engine, reading
from storage.tables import predictions
from tests.api.servers import CHECKOUT, ServerProcess, free_port, wait_until
from tests.factories_bundles import promote, write_classifier

N_KILLS = 3
N_ROWS = 400


def test_a_start_does_not_load_what_only_some_batches_need() -> None:
    code = "import sys, api.serve; print('pyarrow' in sys.modules)"
    found = subprocess.run(
        [sys.executable, "-c", code], cwd=CHECKOUT, capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == "False"


@pytest.mark.slow
def test_no_row_of_an_acknowledged_batch_is_lost_or_doubled(tmp_path: Path) -> None:
    store = tmp_path / "store"
    promote(store, write_classifier(store), generation=1)
    server = ServerProcess(tmp_path, free_port())
    acknowledged: list[str] = []
    batch = {"columns": ["age"], "data": [[index] for index in range(N_ROWS)]}

    def send_until_it_dies() -> None:
        with httpx.Client(base_url=server.address, timeout=10) as client:
            while True:
                try:
                    answer = client.post("/predict/batch", json=batch)
                except httpx.HTTPError:
                    return
                assert answer.status_code == 200
                acknowledged.extend(answer.json()["prediction_ids"])

    for _ in range(N_KILLS):
        wait_until(server.answers, seconds=30)
        n_before = len(acknowledged)
        clients = [threading.Thread(target=send_until_it_dies) for _ in range(2)]
        for client in clients:
            client.start()
        wait_until(lambda seen=n_before: len(acknowledged) > seen + 2 * N_ROWS, seconds=30)
        server.kill()
        for client in clients:
            client.join()
        server.start()
    wait_until(server.answers, seconds=30)
    wait_until(lambda: health(server)["journal_backlog"] == 0, seconds=60)
    server.stop()
    engine = open_engine(f"sqlite:///{tmp_path / 'perennial.db'}")
    with reading(engine) as connection:
        stored = Counter(connection.execute(select(predictions.c.prediction_id)).scalars())
    engine.dispose()
    assert len(acknowledged) == len(set(acknowledged))
    assert set(acknowledged) <= stored.keys()
    assert set(stored.values()) == {1}


def health(server: ServerProcess) -> dict[str, int]:
    answer: dict[str, int] = httpx.get(f"{server.address}/health", timeout=10).json()
    return answer
