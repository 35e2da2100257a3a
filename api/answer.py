"""What a client is told: a model's output turned into a decision."""

from __future__ import annotations

import math
from datetime import datetime
from typing import Any

import msgspec

from api.errors import ApiError
from api.session import ServedModel

DEFAULT_THRESHOLD = 0.5
FIELDS = (
    "prediction_id",
    "prediction",
    "probability",
    "probabilities",
    "risk_level",
    "expected_cost",
    "model_version",
    "timestamp",
)

_encoder = msgspec.json.Encoder()


class Answer(msgspec.Struct, frozen=True, gc=False):
    """A prediction with its body as sent."""

    prediction_id: str
    prediction: int | float | str
    probabilities: list[float] | None
    risk_level: str | None
    expected_cost: float | None
    body: bytes


def build_answer(
    model: ServedModel, output: list[float], prediction_id: str, now: datetime
) -> Answer:
    """The answer that a model's output for one row means.

    Raises ApiError 500 when the output is not finite.
    """
    if not all(map(math.isfinite, output)):
        raise ApiError(500, "model_output", "the model gave no finite answer to this row")
    document: dict[str, Any] = {"prediction_id": prediction_id, "prediction": None}
    task = model.manifest.task
    prediction: int | float | str
    if task == "binary":
        prediction = _decide(model, output[1], document)
    elif task == "multiclass":
        prediction = model.labels[output.index(max(output))]
        document["probabilities"] = dict(zip(model.manifest.classes, output, strict=True))
    else:
        prediction = output[0]
    document["prediction"] = prediction
    document["model_version"] = model.manifest.version
    document["timestamp"] = now
    probabilities = None if task == "regression" else output
    return Answer(
        prediction_id,
        prediction,
        probabilities,
        document.get("risk_level"),
        document.get("expected_cost"),
        _encoder.encode(document),
    )


def _decide(model: ServedModel, probability: float, document: dict[str, Any]) -> int | str:
    manifest = model.manifest
    threshold = DEFAULT_THRESHOLD if manifest.threshold is None else manifest.threshold
    document["probability"] = probability
    for band in model.bands:
        if band.above <= probability:
            document["risk_level"] = band.name
            break
    share = min(max(probability, 0.0), 1.0)  # float32 may leave it a hair outside
    document["expected_cost"] = min(
        share * manifest.cost_false_negative, (1 - share) * manifest.cost_false_positive
    )
    return model.labels[1] if probability >= threshold else model.labels[0]


def in_order(body: bytes) -> bytes:
    """A stored body with its fields in the order they were sent in; databases may change it."""
    document = msgspec.json.decode(body)
    return _encoder.encode({name: document[name] for name in FIELDS if name in document})
