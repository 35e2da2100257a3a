"""The same small cycle as a run of a deployment: what Prefect adds to it.

The whole stack runs as `perennial up` starts it. Measured is the wall time from the call that asks
Prefect for a run of `retrain`, as the button in its UI does, until the API answers with the new
version.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import pandas as pd

from operate.demo import set_clock
from operate.demo_ticks import Ticks
from operate.stack import Stack
from operate.stack_host import free_port
from operate.stack_services import api_url, prefect_api_url
from settings import Settings
from storage.problems import write_problem
from tasks.ingest_inbox import inbox_folder

WAIT_SECONDS = 120.0
LOOK_SECONDS = 0.01
# What a run leaves for after its end (its process, its last events) is not part of the next one.
REST_SECONDS = 2.0
NEWER_ROWS = 200


def measure_prefect(
    problem: Any, make_rows: Callable[[int, int], pd.DataFrame], n_rows: int, turns: int
) -> dict[str, float]:
    """Medians over turns; ``make_rows(n, first)`` are labelled rows with a column `when`.

    The first retrain, whose process imports, is left out.
    """
    with tempfile.TemporaryDirectory() as folder:
        settings = _settings(Path(folder), problem.name)
        write_problem(problem, settings.home / "problems")
        inbox = inbox_folder(settings.home, problem.name)
        inbox.mkdir(parents=True)
        history = make_rows(n_rows, 0)
        history.to_parquet(inbox / "history.parquet", index=False)
        _tell_time(settings, history)
        seconds = []
        with Stack(settings, with_page=False), httpx.Client(base_url=api_url(settings)) as api:
            loop = Ticks(prefect_api_url(settings))
            loop.run(problem.name)
            retrain = Ticks(prefect_api_url(settings), "retrain/retrain")
            for turn in range(turns + 1):
                newer = make_rows(NEWER_ROWS, n_rows + turn * NEWER_ROWS)
                newer.to_parquet(inbox / f"{turn}.parquet", index=False)
                _tell_time(settings, newer)
                loop.run(problem.name)
                time.sleep(REST_SECONDS)
                seconds.append(_swap(api, retrain, problem.name))
            loop.close()
            retrain.close()
    return {"turns": turns, "total": statistics.median(seconds[1:]), "slowest": max(seconds[1:])}


def _settings(home: Path, problem: str) -> Settings:
    return Settings(
        _env_file=None,
        home=home, problems=home / "problems", active=(problem,), clock=home / "clock",
        api_port=free_port(), prefect_port=free_port(), mlflow_port=free_port(), api_insecure=True,
    )  # fmt: skip


def _tell_time(settings: Settings, rows: pd.DataFrame) -> None:
    newest: datetime = rows["when"].max().to_pydatetime()
    set_clock(settings, newest)


def _swap(api: httpx.Client, retrain: Ticks, problem: str) -> float:
    """Seconds from the request for a run until another version answers."""
    before = _version(api)
    began = time.perf_counter()
    retrain.start(problem)
    while time.perf_counter() - began < WAIT_SECONDS:
        if _version(api) != before:
            return time.perf_counter() - began
        time.sleep(LOOK_SECONDS)
    raise RuntimeError(f"version {before} still answers; the turn measured nothing")


def _version(api: httpx.Client) -> str:
    return str(api.get("/model/info").raise_for_status().json()["version"])
