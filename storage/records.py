"""Predictions and feedback as records of the journal."""

from __future__ import annotations

from datetime import datetime

import msgspec

from storage.encoding import Value
from storage.prediction_batches import BatchRecord, expand

Label = int | float | str


class PredictionRecord(msgspec.Struct, tag="p", array_like=True, frozen=True, gc=False):
    """One answered prediction. ``answer`` is the JSON body that was sent.

    ``features`` may be the JSON text of the list: what SQL will be given is then made once.
    """

    problem: str
    prediction_id: str
    model_version: str
    key: str | None
    event_time: datetime
    features: list[Value] | bytes
    prediction: Label
    probabilities: list[float] | None
    answer: bytes
    created_at: datetime


class FeedbackItem(msgspec.Struct, array_like=True, frozen=True):
    """What really happened to one prediction."""

    prediction_id: str
    actual: Label
    observed_at: datetime


class FeedbackRecord(msgspec.Struct, tag="f", array_like=True, frozen=True):
    """The feedback of one request: all of it is kept, or nothing."""

    problem: str
    items: list[FeedbackItem]
    token_id: str | None
    received_at: datetime

    def item(self, prediction_id: str) -> FeedbackItem:
        """The label of one of its predictions."""
        return next(item for item in self.items if item.prediction_id == prediction_id)


SingleRecord = PredictionRecord | FeedbackRecord
Record = SingleRecord | BatchRecord

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Record)


def encode_record(record: Record) -> bytes:
    """A record as the journal keeps it."""
    return _encoder.encode(record)


def decode_record(payload: bytes) -> Record:
    """A record from the journal's bytes.

    Raises msgspec.MsgspecError when they are not one.
    """
    record: Record = _decoder.decode(payload)
    return record


def flatten(record: Record) -> list[SingleRecord]:
    """The record itself, or one for each prediction of a batch."""
    if isinstance(record, BatchRecord):
        return [PredictionRecord(**fields) for fields in expand(record)]
    return [record]


def decode_prediction(payload: bytes, prediction_id: str) -> PredictionRecord:
    """One prediction from the bytes of the record that holds it, alone or in a batch."""
    record = decode_record(payload)
    if isinstance(record, BatchRecord):
        record = PredictionRecord(**next(expand(record, prediction_id)))
    assert isinstance(record, PredictionRecord)
    if isinstance(record.features, bytes):
        values = msgspec.json.decode(record.features)
        return msgspec.structs.replace(record, features=values)
    return record
