"""Turns of the loop in the demo: real runs of the `continual` deployment, one after each block."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import httpx
import stamina

POLL_SECONDS = 0.15
TICK_SECONDS = 240.0
FINAL = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}


class TickError(RuntimeError):
    """A turn of the loop did not complete; the message says what Prefect says."""


@dataclass(frozen=True)
class Tick:
    """A completed flow run."""

    flow_run_id: str
    seconds: float


def _is_passing(error: Exception) -> bool:
    """Whether a call may be tried again: a busy server answers 503, a slow one not in time."""
    if isinstance(error, httpx.HTTPStatusError):
        return error.response.status_code >= 500
    return isinstance(error, httpx.TransportError)


class Ticks:
    """Starts runs of a deployment on a Prefect server and waits for their end."""

    def __init__(self, api_url: str, deployment: str = "continual/continual") -> None:
        self._client = httpx.Client(base_url=api_url, timeout=20.0)
        found = self._call("GET", f"/deployments/name/{deployment}")
        self._deployment_id = found["id"]

    def run(self, problem: str, meanwhile: Callable[[], None] = lambda: None) -> Tick:
        """Run the loop once for a problem and wait for it, calling ``meanwhile`` between looks.

        A run that was cancelled because a scheduled one was under way is asked for again.
        Raises TickError when a run fails, or none completes within four minutes.
        """
        started = time.monotonic()
        while time.monotonic() - started < TICK_SECONDS:
            flow_run_id = self.start(problem)
            state = self._wait(flow_run_id, started, meanwhile)
            if state["type"] == "COMPLETED":
                return Tick(flow_run_id, time.monotonic() - started)
            if state["type"] != "CANCELLED":
                raise TickError(f"flow run {flow_run_id}: {state['type']}: {state.get('message')}")
            meanwhile()
            time.sleep(POLL_SECONDS)
        raise TickError(f"no turn of the loop completed within {TICK_SECONDS:.0f} seconds")

    def close(self) -> None:
        """End the connection."""
        self._client.close()

    def start(self, problem: str) -> str:
        """Ask for a run and return its id."""
        body = {
            "parameters": {"problem": problem},
            "state": {"type": "SCHEDULED"},
            "idempotency_key": uuid4().hex,  # the request may be sent twice
        }
        path = f"/deployments/{self._deployment_id}/create_flow_run"
        return str(self._call("POST", path, body)["id"])

    def _wait(
        self, flow_run_id: str, started: float, meanwhile: Callable[[], None]
    ) -> dict[str, Any]:
        while time.monotonic() - started < TICK_SECONDS:
            state: dict[str, Any] = self._call("GET", f"/flow_runs/{flow_run_id}")["state"]
            if state["type"] in FINAL:
                return state
            meanwhile()
            time.sleep(POLL_SECONDS)
        raise TickError(f"flow run {flow_run_id} did not end; see the worker's log")

    @stamina.retry(on=_is_passing, attempts=8, timeout=60.0)
    def _call(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        response = self._client.request(method, path, json=body)
        response.raise_for_status()
        found: dict[str, Any] = response.json()
        return found
