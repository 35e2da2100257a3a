"""What was predicted, without what it was predicted from: enough to judge it by its label."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from storage.prediction_batches import BatchRecord
from storage.records import FeedbackRecord, Label, decode_record


@dataclass(frozen=True)
class Outcome:
    """One prediction; ``probabilities`` in the order of the classes, None for a regression."""

    model_version: str
    prediction: Label
    probabilities: list[float] | None


def outcomes_in(payload: bytes, names: Collection[str]) -> dict[str, Outcome]:
    """The outcomes of those of these predictions that a journal's record holds, by their ids."""
    record = decode_record(payload)
    if isinstance(record, FeedbackRecord):
        return {}
    if not isinstance(record, BatchRecord):
        outcome = Outcome(record.model_version, record.prediction, record.probabilities)
        return {record.prediction_id: outcome} if record.prediction_id in names else {}
    return {
        name: Outcome(
            record.model_version,
            record.predictions[index],
            record.probabilities[index] if record.probabilities is not None else None,
        )
        for index, name in enumerate(record.prediction_ids)
        if name in names
    }
