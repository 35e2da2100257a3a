"""Waiting for what another process does, and a real Prefect server with two small flows."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest
import yaml

from operate import stack_services as services
from operate.processes import Processes, free_port
from settings import CHECKOUT, Settings

T = TypeVar("T")


def eventually(probe: Callable[[], T], seconds: float = 60.0) -> T:
    """The first true answer of `probe`; fails when there is none in time."""
    pause = threading.Event()
    deadline = time.monotonic() + seconds
    while True:
        answer = probe()
        if answer or time.monotonic() > deadline:
            assert answer, f"not within {seconds} s"
            return answer
        pause.wait(0.1)


def is_running(pid: int) -> bool:
    """Whether the process exists and has not ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


FLOWS = '''
import sys
import time
from datetime import datetime

from prefect import flow


@flow
def tick(problem: str | None = None) -> None:
    """Does nothing."""


@flow(log_prints=True)
def sleepy(
    problem: str | None = None, seconds: float = 600.0, now: datetime | None = None
) -> None:
    """Sleeps.

    Args:
        seconds: for how long
    """
    print("asleep", "evidently" in sys.modules)
    time.sleep(seconds)
'''

PREFECT_YAML = """
deployments:
  - name: tick
    description: Every two seconds.
    entrypoint: flows/ours.py:tick
    tags: [perennial]
    work_pool: {name: perennial}
    concurrency_limit: {limit: 1, collision_strategy: CANCEL_NEW}
    schedules: [{interval: 2, slug: often}]
  - name: sleepy
    description: Sleeps.
    entrypoint: flows/ours.py:sleepy
    work_pool: {name: perennial}
    concurrency_limit: {limit: 1, collision_strategy: CANCEL_NEW}
    schedules: [{cron: "17 3 * * *", timezone: UTC, slug: daily}]
"""


@pytest.fixture(scope="session")
def flow_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two small flows and the prefect.yaml that lists them."""
    folder = tmp_path_factory.mktemp("flows-of-tests")
    (folder / "flows").mkdir()
    (folder / "flows" / "ours.py").write_text(FLOWS)
    (folder / "prefect.yaml").write_text(PREFECT_YAML)
    return folder


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """Settings of a real Prefect server that lives as long as the test session."""
    home = tmp_path_factory.mktemp("prefect-server")
    port = free_port()
    settings = Settings(_env_file=None, home=home, prefect_port=port)  # type: ignore[call-arg]
    (home / "prefect").mkdir()
    with Processes(home / "logs") as running:
        running.start(services.prefect_service(settings))
        running.wait_ready()
        yield settings


def run_python(settings: Settings, *command: str) -> None:
    """Run Python in this checkout with the environment that a stack's parts get."""
    env = {**os.environ, **services.common_environment(settings)}
    subprocess.run(
        [sys.executable, *command],
        env={name: value for name, value in env.items() if value is not None},
        check=True,
        cwd=CHECKOUT,
    )


def deploy_unscheduled(server: Settings, folder: Path) -> None:
    """Bring this checkout's deployments to a server, without schedules and with a pool that has
    no worker: those of other tests must leave them alone."""
    document = yaml.safe_load((CHECKOUT / "prefect.yaml").read_text())
    for entry in document["deployments"]:
        entry |= {"schedules": [], "work_pool": {"name": "nobody"}}
    (folder / "prefect.yaml").write_text(yaml.safe_dump(document))
    (folder / "flows").symlink_to(CHECKOUT / "flows")
    run_python(server, "-m", "operate.stack_deploy", str(folder / "prefect.yaml"))
