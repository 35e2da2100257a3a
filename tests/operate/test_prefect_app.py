"""The Prefect server takes many writes at once."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import httpx
import pytest

from operate import stack_services as services
from settings import Settings

N_CLIENTS, N_EACH = 8, 12


@pytest.mark.slow
def test_runs_that_many_people_start_at_once_are_all_taken(server: Settings) -> None:
    url = services.prefect_api_url(server) + "/"
    # A connection of its own for each: one that is kept may be closed while the next call begins.
    each_its_own = httpx.Limits(max_keepalive_connections=0)
    with httpx.Client(base_url=url, timeout=60, limits=each_its_own) as client:
        flow = client.post("flows/", json={"name": "crowded"}).json()["id"]
        made = client.post("deployments/", json={"name": "crowded", "flow_id": flow})
        deployment = made.json()["id"]

        def start(_number: int) -> list[int]:
            said = []
            for _ in range(N_EACH):
                made = client.post(
                    f"deployments/{deployment}/create_flow_run",
                    json={"idempotency_key": uuid4().hex, "state": {"type": "SCHEDULED"}},
                )
                said.append(made.status_code)
                run = made.json().get("id")
                moved = client.post(
                    f"flow_runs/{run}/set_state", json={"state": {"type": "RUNNING"}}
                )
                said.append(moved.status_code)
            return said

        with ThreadPoolExecutor(N_CLIENTS) as clients:
            said = Counter(code for each in clients.map(start, range(N_CLIENTS)) for code in each)
    assert said == {201: N_CLIENTS * N_EACH * 2}
