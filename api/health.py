"""`/health` and `/metrics`: is it well, and if not, why."""

from __future__ import annotations

import asyncio
import time
from typing import Literal

from fastapi import Response
from pydantic import BaseModel

from api.errors import no_model
from api.info import candidate_of
from api.live_figures import Figure, figures
from api.routes import AskedRuntime, AskedSlot, Reading
from api.runtime import Runtime
from api.slot import Slot

STALE_BACKLOG_SECONDS = 20.0
METRICS_TEXT = "text/plain; version=0.0.4; charset=utf-8"


class Beside(BaseModel):
    """A version that may take over: it is tried in the shadow, or answers a share of requests."""

    version: str
    state: Literal["shadow", "canary"]
    share: float
    refused: str | None


class Health(BaseModel):
    """How one problem's service is."""

    status: Literal["ok", "degraded", "unavailable"]
    reasons: list[str]
    model_version: str | None
    journal_backlog: int
    last_run_age_seconds: float | None
    candidate: Beside | None = None


class Alive(BaseModel):
    """The process answers."""

    status: Literal["ok"] = "ok"


async def health(runtime: AskedRuntime, slot: AskedSlot) -> Health:
    """Status, and in words what is wrong."""
    fact = (await runtime.facts.current())[slot.problem]
    reasons = _reasons(runtime, slot)
    status: Literal["ok", "degraded", "unavailable"] = "degraded" if reasons else "ok"
    if slot.model is None:
        status = "unavailable"
    found = candidate_of(slot)
    age = None if fact.last_run_ended is None else max(0.0, time.time() - fact.last_run_ended)
    return Health(
        status=status,
        reasons=reasons,
        model_version=slot.model.manifest.version if slot.model else None,
        journal_backlog=runtime.recorder.n_backlog,
        last_run_age_seconds=age,
        candidate=None if found is None else Beside.model_validate(found),
    )


async def live() -> Alive:
    """200 while the process answers at all."""
    return Alive()


async def ready(slot: AskedSlot) -> Alive:
    """200 once a model answers, 503 before."""
    if slot.model is None:
        raise no_model()
    return Alive()


async def metrics(runtime: AskedRuntime) -> Response:
    """Prometheus' text."""
    facts = await runtime.facts.current()
    recorder = runtime.recorder
    runtime.metrics.labelled(await asyncio.to_thread(_figures, runtime))
    text = runtime.metrics.text(recorder.n_backlog, recorder.oldest_seconds, facts)
    return Response(text, media_type=METRICS_TEXT)


def _figures(runtime: Runtime) -> dict[str, list[Figure]]:
    return {
        problem: figures(runtime.live.read(problem), slot.model.manifest.task)
        for problem, slot in runtime.slots.items()
        if slot.model is not None
    }


def _reasons(runtime: Runtime, slot: Slot) -> list[str]:
    reasons = []
    if slot.model is None:
        reasons.append("no model has been promoted yet")
    if slot.refusal is not None:
        # The cause's name only: the reason holds names of files and nodes.
        newer = "a newer bundle"
        if slot.model is not None and slot.model.pointer == slot.pointer:
            newer = "the candidate"
        reasons.append(f"{newer} was refused ({slot.refusal.code}): the last good one answers")
    recorder, drainer = runtime.recorder, runtime.drainer
    n_backlog, oldest = recorder.n_backlog, recorder.oldest_seconds
    is_late = oldest > STALE_BACKLOG_SECONDS
    if drainer.failure is not None or is_late or not runtime.facts.is_answering:
        waiting = f"{n_backlog} rows wait in the journal, the oldest for {oldest:.0f} s"
        reasons.append(f"SQL does not answer or is slow: {waiting}")
    if drainer.n_set_aside:
        reasons.append(f"SQL refused {drainer.n_set_aside} records: they are kept aside")
    return reasons


TAG = {"tags": ["state"]}
TEXT = {"response_class": Response, "responses": {200: {"content": {"text/plain": {}}}}}
ROUTES = (
    Reading("/health", health, scope=None, options=TAG),
    Reading("/health/live", live, scope=None, options=TAG),
    Reading("/health/ready", ready, scope=None, options=TAG),
    Reading("/metrics", metrics, "read", is_free_on_loopback=True, options={**TAG, **TEXT}),
)
