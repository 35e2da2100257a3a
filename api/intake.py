"""The quick way in: from a body's bytes to a model's row in one pass, prepared per model."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec

from api.decoder import (
    KEY_LIMIT,
    MALFORMED,
    Integer,
    Scalar,
    check_id,
    decode_predict,
    encode,
    invalid_key,
    is_clean,
    parse_time,
    values_in_order,
)
from storage.encoding import MISSING_CODE, RowEncoder, Value
from storage.manifest import FeatureSpec

Number = bool | Integer | float | None
NAN = float("nan")


class Asked(msgspec.Struct, frozen=True, gc=False):
    """One request for a prediction: raw values in schema order, and the model's row of them.

    ``row`` holds float64 numbers as bytes, NaN where a value is missing.
    """

    values: Sequence[Value]
    row: bytes
    key: str | None
    event_time: datetime | None
    prediction_id: str | None


class Intake:
    """Reads the bodies for one model.

    What the prepared decoder does not take is read again with care: either it is right all the
    same, or the refusal says what was found.
    """

    def __init__(self, features: Sequence[FeatureSpec], encoder: RowEncoder) -> None:
        self._encoder = encoder
        self._decoder = _prepare(features)
        self._pack = struct.Struct(f"<{len(features)}d").pack
        self._codes = tuple(
            (place, {category: float(code) for code, category in enumerate(feature.categories)})
            for place, feature in enumerate(features)
            if feature.kind != "numeric"
        )

    def read(self, content: bytes) -> Asked:
        """What is asked.

        Raises ApiError 400 for what is no JSON, 422 for what this model does not take.
        """
        if self._decoder is None:
            return self.read_carefully(content)
        try:
            body = self._decoder.decode(content)
        except MALFORMED:
            return self.read_carefully(content)
        sent = body.features
        values = sent if type(sent) is tuple else msgspec.structs.astuple(sent)
        row = self._encode(values) if self._codes else values
        if row is None:
            return self.read_carefully(content)
        return _asked(body, values, self._packed(row))

    def read_carefully(self, content: bytes) -> Asked:
        """The same, value by value."""
        body = decode_predict(content)
        values = values_in_order(body, self._encoder)
        return _asked(body, values, self._pack(*encode(values, self._encoder)))

    def _packed(self, row: Sequence[Any]) -> bytes:
        if None in row:  # a number is missing
            row = list(row)
            place = -1
            for _ in range(row.count(None)):
                place = row.index(None, place + 1)
                row[place] = NAN
        return self._pack(*row)

    def _encode(self, values: Sequence[Value]) -> list[Any] | None:
        """The row, or None when a category is spelled in a way that needs care."""
        row: list[Any] = list(values)
        for place, codes in self._codes:
            value = values[place]
            if value is None:
                row[place] = MISSING_CODE
                continue
            code = codes.get(value) if type(value) is str else None
            if code is None:
                return None
            row[place] = code
        return row


def _asked(body: Any, values: Sequence[Value], row: bytes) -> Asked:
    key, prediction_id = body.key, body.prediction_id
    if prediction_id is not None:
        check_id(prediction_id)
    if key is not None:
        key = str(key)
        if not is_clean(key, KEY_LIMIT):
            raise invalid_key()
    moment = parse_time(body.event_time, "event_time") if body.event_time else None
    return Asked(values, row, key, moment, prediction_id)


def _prepare(features: Sequence[FeatureSpec]) -> msgspec.json.Decoder[Any] | None:
    """A decoder into a structure typed by the schema; None when its names cannot be fields."""
    kinds: list[Any] = [Number if f.kind == "numeric" else Scalar for f in features]
    fields = [(f"f{place}", kind, None) for place, kind in enumerate(kinds)]
    names = {f"f{place}": feature.name for place, feature in enumerate(features)}
    try:
        named: Any = msgspec.defstruct(
            "Named", fields, rename=names, forbid_unknown_fields=True, frozen=True, gc=False
        )
        listed: Any = tuple.__class_getitem__(tuple(kinds))
        body = msgspec.defstruct(
            "Body",
            [
                ("features", named | listed),
                ("key", str | Integer | None, None),
                ("event_time", str | None, None),
                ("prediction_id", str | None, None),
            ],
            forbid_unknown_fields=True,
            frozen=True,
            gc=False,
        )
        return msgspec.json.Decoder(body)
    except (ValueError, TypeError):
        return None
