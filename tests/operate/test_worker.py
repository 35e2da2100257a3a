"""The warm worker against a real Prefect server, and its rules on runs that nobody served."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from operate import stack_services as services
from operate.processes import Processes, Service
from operate.stack_host import group_members
from operate.worker_life import identify, is_dead_here
from settings import Settings
from tests.operate.conftest import eventually, is_running

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SERVE = "from operate.worker import run_worker; run_worker()"


def worker(settings: Settings) -> Service:
    return Service(
        "worker",
        (sys.executable, "-c", SERVE),
        env=services.common_environment(settings),
        ready=services.worker_probe(services.prefect_api_url(settings), time.time()),
    )


class Server:
    """What the tests ask the Prefect server."""

    def __init__(self, settings: Settings) -> None:
        self.http = httpx.Client(base_url=services.prefect_api_url(settings) + "/", timeout=20)

    def post(self, path: str, **body: object) -> Any:
        # The server answers 503 when its SQLite file is busy, and every Prefect client asks again.
        answers = (self.http.post(path, json=body) for _ in range(10))
        answer = next((each for each in answers if each.status_code != 503), None)
        assert answer is not None
        answer.raise_for_status()
        return answer.json()

    def deployment(self, name: str) -> dict[str, Any]:
        answer = self.http.get(f"deployments/name/{name}/{name}")
        answer.raise_for_status()
        return dict(answer.json())

    def runs(self, name: str, *states: str) -> list[dict[str, Any]]:
        state = {"name": {"any_": list(states)}} if states else None
        found: list[dict[str, Any]] = self.post(
            "flow_runs/filter",
            deployments={"name": {"any_": [name]}},
            flow_runs={"state": state},
            sort="EXPECTED_START_TIME_ASC",
        )
        return found

    def overdue(self, name: str) -> list[dict[str, Any]]:
        now = datetime.now(UTC).isoformat()
        waiting = self.runs(name, "Scheduled", "Late")
        return [run for run in waiting if run["expected_start_time"] < now]

    def start(self, name: str, **parameters: object) -> str:
        path = f"deployments/{self.deployment(name)['id']}/create_flow_run"
        return str(self.post(path, parameters=parameters)["id"])

    def run(self, run: str) -> dict[str, Any]:
        return dict(self.http.get(f"flow_runs/{run}").json())

    def wait_for(self, run: str, state: str) -> dict[str, Any]:
        return eventually(lambda: self._run_in(run, state), 30)

    def _run_in(self, run: str, state: str) -> dict[str, Any] | None:
        found = self.run(run)
        return found if found["state"]["name"] == state else None


def pid_of(run: dict[str, Any]) -> int:
    return int(run["infrastructure_pid"].split(":")[1])


@pytest.fixture(scope="module")
def prefect(server: Settings) -> Server:
    return Server(server)


@pytest.fixture(scope="module")
def backlog_and_worker(
    server: Settings,
    prefect: Server,
    flow_folder: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Processes]:
    """A worker that found runs overdue when it started, by its name `worker`."""
    errand = services.deploy_errand(server, flow_folder / "prefect.yaml")
    with Processes(tmp_path_factory.mktemp("logs")) as running:
        running.start(errand)
        running.wait_ready()
        eventually(lambda: len(prefect.overdue("tick")) >= 3, 60)
        running.start(worker(server))
        running.wait_ready()
        yield running


@pytest.mark.slow
def test_late_runs_are_covered_by_one(backlog_and_worker: Processes, prefect: Server) -> None:
    started = datetime.now(UTC).isoformat()
    done = eventually(lambda: prefect.runs("tick", "Completed"))
    skipped = eventually(lambda: prefect.runs("tick", "Skipped"))
    first = done[0]["expected_start_time"]
    assert first < started
    eventually(lambda: len(prefect.overdue("tick")) <= 1)
    skipped = prefect.runs("tick", "Skipped")
    assert len(skipped) >= 3
    assert all(run["state"]["type"] == "CANCELLED" for run in skipped)
    assert all(run["expected_start_time"] < first for run in skipped)
    assert skipped[0]["state"]["message"].startswith("covered by the run due at 20")
    assert len([run for run in done if run["expected_start_time"] < started]) == 1


@pytest.mark.slow
def test_a_scheduled_run_starts_when_it_is_due(
    backlog_and_worker: Processes, prefect: Server
) -> None:
    done = eventually(lambda: prefect.runs("tick", "Completed")[2:])
    delays = [
        datetime.fromisoformat(run["start_time"])
        - datetime.fromisoformat(run["expected_start_time"])
        for run in done
    ]
    # 0.2 s on an idle machine; a fresh Python with these imports would take 10 s.
    assert min(delays) < timedelta(seconds=3)
    prefect.http.patch(f"deployments/{prefect.deployment('tick')['id']}", json={"paused": True})


@pytest.mark.slow
def test_a_killed_child_is_a_crashed_run(backlog_and_worker: Processes, prefect: Server) -> None:
    run = prefect.start("sleepy")
    pid = pid_of(prefect.wait_for(run, "Running"))
    os.kill(pid, signal.SIGKILL)
    state = prefect.wait_for(run, "Crashed")["state"]
    assert "status code -9" in state["message"]


@pytest.mark.slow
def test_a_cancelled_run_loses_its_process(backlog_and_worker: Processes, prefect: Server) -> None:
    run = prefect.start("sleepy")
    pid = pid_of(prefect.wait_for(run, "Running"))
    prefect.post(f"flow_runs/{run}/set_state", state={"type": "CANCELLING", "name": "Cancelling"})
    prefect.wait_for(run, "Cancelled")
    assert not is_running(pid)


@pytest.mark.slow
def test_a_worker_killed_takes_its_children_along_and_the_next_one_reports_them(
    server: Settings, backlog_and_worker: Processes, prefect: Server
) -> None:
    run = prefect.start("sleepy")
    pid = pid_of(prefect.wait_for(run, "Running"))
    running = backlog_and_worker.running["worker"]
    # The heavy modules are there already, and what a flow prints reaches the worker's log.
    eventually(lambda: "asleep True" in running.tail(50))
    running.popen.kill()
    eventually(lambda: not group_members(running.group))
    assert not is_running(pid)
    assert prefect.run(run)["state"]["name"] == "Running"
    backlog_and_worker.stop("worker")
    backlog_and_worker.start(worker(server))
    state = prefect.wait_for(run, "Crashed")["state"]
    assert state["message"] == "Its process is gone: the worker was lost."


@pytest.mark.slow
def test_a_worker_that_is_told_to_stop_ends_its_children_and_says_so(
    backlog_and_worker: Processes, prefect: Server
) -> None:
    backlog_and_worker.wait_ready("worker")
    run = prefect.start("sleepy")
    prefect.wait_for(run, "Running")
    running = backlog_and_worker.running["worker"]
    running.popen.terminate()
    assert running.popen.wait(15) == 0
    eventually(lambda: not group_members(running.group), 5)
    assert prefect.run(run)["state"]["type"] == "CRASHED"


@pytest.mark.slow
def test_prefects_own_deploy_command_makes_the_same_deployments(
    server: Settings, backlog_and_worker: Processes, prefect: Server, flow_folder: Path
) -> None:
    def told(name: str) -> dict[str, Any]:
        found = prefect.deployment(name)
        names = ("description", "tags", "entrypoint", "path", "work_pool_name", "parameters")
        more = ("concurrency_options", "pull_steps", "parameter_openapi_schema", "job_variables")
        kept = {key: found[key] for key in (*names, *more, "enforce_parameter_schema")}
        kept["limit"] = found["global_concurrency_limit"]["limit"]
        schedules = [each["schedule"] for each in found["schedules"]]
        kept["schedules"] = [{**each, "anchor_date": None} for each in schedules]
        return kept

    ours = {name: told(name) for name in ("tick", "sleepy")}
    env = {**os.environ, **services.common_environment(server)}
    subprocess.run(
        [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all"],
        cwd=flow_folder,
        env={name: value for name, value in env.items() if value is not None},
        check=True,
        capture_output=True,
    )
    for name, deployment in ours.items():
        assert told(name) == deployment


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
