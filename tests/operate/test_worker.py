"""The warm worker against a real Prefect server."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from operate import stack_services as services
from operate.priority import NICENESS
from operate.processes import Processes, Service
from operate.stack_host import group_members
from settings import Settings
from tests.operate.conftest import eventually, is_running

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
        answer = self.http.post(path, json=body)
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
def prefect(server: Settings) -> Iterator[Server]:
    client = Server(server)
    yield client
    client.http.close()


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
    done = eventually(lambda: prefect.runs("tick", "Completed"), 60)
    first = done[0]["expected_start_time"]

    def earlier() -> list[dict[str, Any]]:
        # One that overlapped another is cancelled too, by the deployment's own limit.
        found = [run for run in prefect.runs("tick") if run["expected_start_time"] < first]
        return found if all(run["state"]["type"] == "CANCELLED" for run in found) else []

    skipped = [run for run in eventually(earlier, 60) if run["state"]["name"] == "Skipped"]
    assert len(skipped) >= 3
    assert skipped[0]["state"]["message"].startswith("covered by the run due at 20")


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
    # It trains, others answer.
    assert os.getpriority(os.PRIO_PROCESS, pid) == min(19, os.nice(0) + NICENESS)
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
    # Whoever notices first: the next worker, or the automation that misses its heartbeats.
    assert state["message"].endswith(("the worker was lost.", "its worker or machine is gone."))


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
