"""The worker's rules on runs that nobody served, without a server."""

from __future__ import annotations

import asyncio
import os
import socket
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx

from operate.worker_life import identify, is_dead_here

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def overdue_run(minutes: float, deployment: UUID, **changes: object) -> Any:
    from prefect.client.schemas.objects import FlowRun
    from prefect.states import Scheduled

    due = NOW - timedelta(minutes=minutes)
    values = {
        "flow_id": uuid4(),
        "deployment_id": deployment,
        "auto_scheduled": True,
        "next_scheduled_start_time": due,
        "expected_start_time": due,
        "state": Scheduled(scheduled_time=due),
    }
    return FlowRun(**{**values, **changes})


def test_only_runs_that_a_schedule_made_with_the_same_parameters_cover_each_other() -> None:
    from operate.worker_backlog import find_overdue

    one, other = uuid4(), uuid4()
    by_hand = [overdue_run(minute, one, auto_scheduled=False) for minute in (1, 2)]
    assert find_overdue(by_hand, NOW) == set()
    differing = [overdue_run(1, one, parameters={"problem": name}) for name in ("churn", "credit")]
    assert find_overdue(differing, NOW) == set()
    coming = [overdue_run(1, one), overdue_run(-1, one)]
    assert find_overdue(coming, NOW) == set()
    late = [overdue_run(1, one), overdue_run(2, one), overdue_run(1, other)]
    assert find_overdue(late, NOW) == {(one, "{}")}


class Backlog:
    """A stand-in for Prefect's client with a day's worth of overdue runs."""

    def __init__(self, runs: list[Any]) -> None:
        self.waiting = runs
        self.requests = 0
        self._client = self

    async def read_flow_runs(
        self, *, flow_run_filter: Any, limit: int, offset: int, **_rest: object
    ) -> list[Any]:
        self.requests += 1
        before = flow_run_filter.next_scheduled_start_time.before_
        due = [run for run in self.waiting if run.next_scheduled_start_time <= before]
        return due[offset : offset + limit]

    async def post(self, path: str, json: dict[str, Any]) -> httpx.Response:
        assert path == "/flow_runs/bulk_set_state"
        self.requests += 1
        ids = set(json["flow_runs"]["id"]["any_"])
        assert len(ids) <= 50
        self.waiting = [run for run in self.waiting if str(run.id) not in ids]
        return httpx.Response(200, request=httpx.Request("POST", "http://prefect"))


def test_a_day_without_a_worker_costs_seventy_three_requests() -> None:
    from operate.worker_backlog import skip_older

    deployment = uuid4()
    runs = [overdue_run(half_minutes / 2, deployment) for half_minutes in range(2880)]
    server = Backlog(runs)
    skipped = asyncio.run(skip_older(server, (deployment, "{}"), runs[0]))  # type: ignore[arg-type]
    # 2,879 others: 58 groups of 50. 2,880 runs are 15 pages of 200, the last one short.
    assert skipped == 2879
    assert server.requests == 58 + 15
    assert server.waiting == [runs[0]]


def test_a_process_is_known_by_its_host_number_and_start() -> None:
    mine = identify(os.getpid())
    assert mine.startswith(f"{socket.gethostname()}:{os.getpid()}:")
    assert not is_dead_here(mine)
    assert is_dead_here(mine.rpartition(":")[0] + ":1")
    assert not is_dead_here(f"another-host:{os.getpid()}:1")
    assert not is_dead_here("4711")
