"""What can be read: the model, the drift report, one prediction."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec
from fastapi import Request, Response
from fastapi.responses import FileResponse

from api.decoder import check_id
from api.errors import ApiError, no_model
from api.routes import AskedRuntime, AskedSlot, Reading
from api.runtime import Runtime
from api.slot import Slot
from api.sql import find_feedback, find_prediction, latest_drift
from storage.records import FeedbackRecord, decode_prediction, decode_record
from storage.values import plain

REPORTS = "reports"


async def model_info(slot: AskedSlot) -> dict[str, Any]:
    """The model that answers: where it comes from and what it takes."""
    model = slot.model
    if model is None:
        raise no_model()
    manifest, pointer = model.manifest, model.pointer
    info = {
        "problem": slot.problem,
        "version": manifest.version,
        "sha256": pointer.bundle,
        "generation": pointer.generation,
        "state": "champion",
        "candidate": candidate_of(slot),
        "task": manifest.task,
        "model_kind": manifest.model_kind,
        "trained_at": manifest.trained_at,
        "data_version": manifest.data_version,
        "n_training_rows": manifest.n_training_rows,
        "metric": manifest.metric,
        "metrics": manifest.metrics,
        "threshold": manifest.threshold,
        "target": manifest.target,
        "classes": list(model.labels),
        "schema": msgspec.to_builtins(manifest.features),
        "mlflow_run_id": manifest.mlflow_run_id,
    }
    return {key: plain(value) for key, value in info.items()}


def candidate_of(slot: Slot) -> dict[str, Any] | None:
    """The version that may take over: in the shadow, or as canary with its share of requests.

    ``refused`` is the code of why it does not answer here.
    """
    model = slot.model
    if model is None or model.pointer.candidate is None:
        return None
    found = model.pointer.candidate
    is_refused = slot.refusal is not None and model.canary is None
    return {
        "version": found.version,
        "sha256": found.bundle,
        "state": found.role,
        "share": found.share,
        "since": model.pointer.moved_at,
        "refused": slot.refusal.code if is_refused and slot.refusal else None,
    }


async def drift_report(
    request: Request, runtime: AskedRuntime, slot: AskedSlot
) -> dict[str, Any] | Response:
    """The latest drift check; Evidently's document for who accepts `text/html`."""
    found = await runtime.ask(latest_drift, slot.problem)
    if found is None:
        raise ApiError(404, "no_drift_report", "no drift check has run for this problem yet")
    if "text/html" not in request.headers.get("accept", ""):
        del found["id"], found["clock"]
        has_report = _report(runtime.settings.home, found.pop("report")) is not None
        return {**{key: plain(value) for key, value in found.items()}, "has_report": has_report}
    path = _report(runtime.settings.home, found["report"])
    if path is None:
        raise ApiError(404, "no_drift_document", "the latest drift check left no document")
    # The document runs scripts of its own: it may not act as a page of this site.
    return FileResponse(
        path,
        media_type="text/html",
        headers={
            "Content-Security-Policy": "sandbox allow-scripts",
            "X-Content-Type-Options": "nosniff",
        },
    )


async def prediction(runtime: AskedRuntime, slot: AskedSlot, prediction_id: str) -> dict[str, Any]:
    """A prediction with its inputs and its feedback."""
    check_id(prediction_id)
    label = _waiting_feedback(runtime, slot.problem, prediction_id)
    found = _waiting_prediction(runtime, slot.problem, prediction_id)
    if found is None and runtime.neighbours.are_there:
        found, waiting = await asyncio.to_thread(
            _neighbours_word, runtime, slot.problem, prediction_id
        )
        label = label or waiting
    if found is None:
        found = await runtime.ask(find_prediction, slot.problem, prediction_id)
        # A prediction that still waits has no label in SQL: labels drain later.
        label = label or await runtime.ask(find_feedback, slot.problem, prediction_id)
    if found is None:
        raise ApiError(404, "unknown_prediction", "no prediction has this id")
    features = _named(slot, found.pop("features"))
    return {**plain(found), "features": plain(features), "feedback": plain(label)}


def _named(slot: Slot, values: list[Any]) -> dict[str, Any] | list[Any]:
    names = slot.model.encoder.names if slot.model else ()
    return dict(zip(names, values, strict=True)) if len(names) == len(values) else values


def _waiting_prediction(runtime: Runtime, problem: str, name: str) -> dict[str, Any] | None:
    entry = runtime.recorder.prediction(problem, name)
    payload = entry.read() if entry else None
    if payload is None:
        return None
    return _as_stored(payload, name)


def _neighbours_word(
    runtime: Runtime, problem: str, name: str
) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    """A prediction and its label that wait in the journals of other workers."""
    found = runtime.neighbours.predictions(problem, [name])
    labels = runtime.neighbours.labels(problem, [name])
    label = _as_feedback(labels[name], name) if name in labels else None
    return (_as_stored(found[name], name) if name in found else None), label


def _as_stored(payload: bytes, name: str) -> dict[str, Any]:
    record = decode_prediction(payload, name)
    return {**msgspec.structs.asdict(record), "answer": msgspec.json.decode(record.answer)}


def _waiting_feedback(runtime: Runtime, problem: str, name: str) -> dict[str, Any] | None:
    waiting = runtime.recorder.label(problem, name)
    payload = waiting[1].read() if waiting else None
    if payload is None:
        return None
    record = decode_record(payload)
    assert isinstance(record, FeedbackRecord)
    return _as_feedback(record, name)


def _as_feedback(record: FeedbackRecord, name: str) -> dict[str, Any]:
    item = record.item(name)
    return {
        "actual": item.actual,
        "observed_at": item.observed_at,
        "received_at": record.received_at,
    }


def _report(home: Path, name: str | None) -> Path | None:
    """The document's file, if it is one and lies below the reports' folder."""
    if not name:
        return None
    root = (home / REPORTS).resolve()
    path = (home / name).resolve()
    return path if path.is_relative_to(root) and path.is_file() else None


TAG = {"tags": ["read"]}
HTML: dict[str, Any] = {"response_model": None, "responses": {200: {"content": {"text/html": {}}}}}
ROUTES = (
    Reading("/model/info", model_info, "read", options=TAG),
    Reading("/drift/report", drift_report, "read", options={**TAG, **HTML}),
    Reading("/predictions/{prediction_id}", prediction, "read", options=TAG),
)
