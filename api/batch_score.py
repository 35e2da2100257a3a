"""A batch's predictions: one graph call for many rows, decided and recorded by columns."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt

from api.answer import DEFAULT_THRESHOLD
from api.batch_rows import Rows
from api.session import ServedModel
from storage.prediction_batches import BatchRecord
from storage.records import encode_record

ROWS_PER_CALL = 4096
ROWS_PER_RECORD = 4096
# Far below what the journal takes, and what a drainer holds in memory at once.
RECORD_BYTES = 1024 * 1024


@dataclass(frozen=True)
class Decisions:
    """What the model says of each row, as lists of one value a row."""

    predictions: list[int | float | str]
    probabilities: list[list[float]] | None = None
    risk_levels: list[str | None] | None = None
    expected_costs: list[float] | None = None

    def __len__(self) -> int:
        return len(self.predictions)


def score(model: ServedModel, matrix: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Probabilities of the classes, or one value, for each row."""
    parts = [
        model.session.run(["output"], {"input": matrix[start : start + ROWS_PER_CALL]})[0]
        for start in range(0, len(matrix), ROWS_PER_CALL)
    ]
    if not parts:
        width = max(1, len(model.manifest.classes))
        return np.empty((0, width), dtype=np.float32)
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def decide(model: ServedModel, output: npt.NDArray[np.float32]) -> Decisions:
    """What outputs mean, by the same rules as the answer to one row."""
    task = model.manifest.task
    if task == "regression":
        return Decisions(output[:, 0].tolist())
    if task == "multiclass":
        chosen = output.argmax(axis=1).tolist()
        return Decisions([model.labels[index] for index in chosen], output.tolist())
    manifest = model.manifest
    probability = output[:, 1].astype(np.float64)
    threshold = DEFAULT_THRESHOLD if manifest.threshold is None else manifest.threshold
    no, yes = model.labels
    share = np.clip(probability, 0.0, 1.0)
    costs = np.minimum(
        share * manifest.cost_false_negative, (1 - share) * manifest.cost_false_positive
    )
    return Decisions(
        [yes if is_yes else no for is_yes in (probability >= threshold).tolist()],
        output.tolist(),
        _risk_levels(model, probability),
        costs.tolist(),
    )


def _risk_levels(model: ServedModel, probability: npt.NDArray[Any]) -> list[str | None] | None:
    if not model.manifest.risk_levels:
        return None
    bands = sorted(model.manifest.risk_levels, key=lambda band: band.above)
    names: list[str | None] = [None, *(band.name for band in bands)]
    places = np.searchsorted([band.above for band in bands], probability, side="right")
    return [names[place] for place in places.tolist()]


def new_ids(wanted: Sequence[str | None] | None, n_rows: int) -> list[str]:
    """The ids that were sent, and a random one where none was."""
    digits = os.urandom(16 * n_rows).hex()
    fresh = [digits[start : start + 32] for start in range(0, 32 * n_rows, 32)]
    if wanted is None:
        return fresh
    return [name or other for name, other in zip(wanted, fresh, strict=True)]


@dataclass(frozen=True)
class Made:
    """Rows and what a model decided of each of them at a moment."""

    problem: str
    model: ServedModel
    rows: Rows
    prediction_ids: list[str]
    decisions: Decisions
    now: datetime


def records(made: Made) -> Iterator[tuple[BatchRecord, bytes]]:
    """The rows as journal records with their bytes, each small enough to be drained at once."""
    rows = made.rows
    row_bytes = rows.numbers.itemsize * max(1, rows.numbers.shape[1])
    step = max(1, min(ROWS_PER_RECORD, RECORD_BYTES // row_bytes))
    pending = [(start, min(start + step, len(rows))) for start in range(0, len(rows), step)]
    pending.reverse()
    while pending:
        start, end = pending.pop()
        record = _record(made, slice(start, end))
        payload = encode_record(record)
        if len(payload) > 2 * RECORD_BYTES and end - start > 1:  # long texts
            middle = (start + end) // 2
            pending += [(middle, end), (start, middle)]
        else:
            yield record, payload


def _record(made: Made, part: slice) -> BatchRecord:
    rows, decisions, now = made.rows, made.decisions, made.now
    manifest = made.model.manifest
    numbers = rows.numbers[part]
    if numbers.dtype != np.float32:
        numbers = numbers.astype("<f8", copy=False)
    times = rows.event_times
    return BatchRecord(
        problem=made.problem,
        model_version=manifest.version,
        created_at=now,
        prediction_ids=made.prediction_ids[part],
        keys=rows.keys[part] if rows.keys else None,
        event_times=[moment or now for moment in times[part]] if times else None,
        number_type=numbers.dtype.str,
        numbers=numbers.tobytes(),
        texts=[column[part] for column in rows.texts],
        text_places=made.model.schema.text_places,
        predictions=decisions.predictions[part],
        probabilities=decisions.probabilities[part] if decisions.probabilities else None,
        class_names=list(manifest.classes) if manifest.task == "multiclass" else [],
        risk_levels=decisions.risk_levels[part] if decisions.risk_levels else None,
        expected_costs=decisions.expected_costs[part] if decisions.expected_costs else None,
    )
