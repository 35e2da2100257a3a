"""Many predictions in one journal record, by columns; SQL gets one row each."""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import msgspec

from storage.encoding import Value

Label = int | float | str


class BatchRecord(msgspec.Struct, tag="b", array_like=True, frozen=True, gc=False):
    """Predictions that one model made together.

    ``numbers`` holds the numeric features row by row, as ``number_type`` ("<f4" or "<f8"), NaN
    where a value is missing; ``texts`` one list per categorical feature; ``text_places`` where
    these stand in the schema. The other lists have one value per row. ``class_names`` is empty
    for binary problems, whose ``probabilities`` are pairs, and for regressions.
    """

    problem: str
    model_version: str
    created_at: datetime
    prediction_ids: list[str]
    keys: list[str | None] | None
    event_times: list[datetime] | None
    number_type: str
    numbers: bytes
    texts: list[list[Value]]
    text_places: list[int]
    predictions: list[Label]
    probabilities: list[list[float]] | None
    class_names: list[str]
    risk_levels: list[str | None] | None
    expected_costs: list[float] | None

    @property
    def n_rows(self) -> int:
        """How many predictions it holds."""
        return len(self.prediction_ids)


def expand(record: BatchRecord, only: str | None = None) -> Iterator[dict[str, Any]]:
    """The fields of each prediction as `PredictionRecord` names them; of the id ``only`` alone.

    Features are JSON text, which is what SQL is given.
    """
    numbers = _numbers(record)
    for index, prediction_id in enumerate(record.prediction_ids):
        if only is not None and prediction_id != only:
            continue
        yield {
            "problem": record.problem,
            "prediction_id": prediction_id,
            "model_version": record.model_version,
            "key": record.keys[index] if record.keys else None,
            "event_time": record.event_times[index] if record.event_times else record.created_at,
            "features": _features(record, numbers, index),
            "prediction": record.predictions[index],
            "probabilities": record.probabilities[index] if record.probabilities else None,
            "answer": msgspec.json.encode(row_answer(record, index)),
            "created_at": record.created_at,
        }


def row_answer(record: BatchRecord, index: int) -> dict[str, Any]:
    """What `/predict` would have answered for one row."""
    answer: dict[str, Any] = {
        "prediction_id": record.prediction_ids[index],
        "prediction": record.predictions[index],
    }
    if record.probabilities is not None:
        shares = record.probabilities[index]
        if record.class_names:
            answer["probabilities"] = dict(zip(record.class_names, shares, strict=True))
        else:
            answer["probability"] = shares[1]
    if record.risk_levels is not None and record.risk_levels[index] is not None:
        answer["risk_level"] = record.risk_levels[index]
    if record.expected_costs is not None:
        answer["expected_cost"] = record.expected_costs[index]
    return {**answer, "model_version": record.model_version, "timestamp": record.created_at}


def _numbers(record: BatchRecord) -> array[float]:
    numbers = array("f" if record.number_type == "<f4" else "d")
    numbers.frombytes(record.numbers)
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers


def _features(record: BatchRecord, numbers: array[float], index: int) -> bytes:
    width = len(numbers) // record.n_rows
    row: list[Value] = list(numbers[index * width : (index + 1) * width])
    # Places grow, so that each insertion finds those before it done.
    for place, column in zip(record.text_places, record.texts, strict=True):
        row.insert(place, column[index])
    return msgspec.json.encode(row)  # NaN, a number that is missing, as null
