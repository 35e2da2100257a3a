"""The body of `/predict`: strict JSON to raw values in schema order and the model's row."""

from __future__ import annotations

import difflib
import re
from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec

from api.errors import ApiError
from storage.encoding import TEXT_LIMIT, EncodingError, RowEncoder, Value

PREDICTION_ID = re.compile(r"[A-Za-z0-9._:-]{1,64}")
KEY_LIMIT = 256
YEARS = range(1900, 2200)
NAME_LIMIT = 128
MALFORMED = (msgspec.DecodeError, UnicodeError, RecursionError)


# What every database and data frame can hold.
Integer = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
Scalar = bool | Integer | float | Annotated[str, msgspec.Meta(max_length=TEXT_LIMIT)] | None


class PredictBody(msgspec.Struct, forbid_unknown_fields=True):
    """What `/predict` takes."""

    features: dict[str, Scalar] | list[Scalar]
    key: str | Integer | None = None
    event_time: str | None = None
    prediction_id: str | None = None


_decoder = msgspec.json.Decoder(PredictBody)


def decode_predict(content: bytes) -> PredictBody:
    """The body as sent, its optional parts checked.

    Raises ApiError 400 for what is no JSON, 422 for what is another document.
    """
    try:
        body = _decoder.decode(content)
    except MALFORMED as error:
        raise malformed(error, "features, key, event_time, prediction_id") from None
    if body.prediction_id is not None:
        check_id(body.prediction_id)
    if isinstance(body.key, str) and not is_clean(body.key, KEY_LIMIT):
        raise invalid_key()
    return body


def values_in_order(body: PredictBody, encoder: RowEncoder) -> list[Value]:
    """The raw values, one per feature; a feature that was not sent is None.

    Raises ApiError 422 for unknown names or another number of values.
    """
    names, sent = encoder.names, body.features
    if isinstance(sent, list):
        if len(sent) != len(names):
            raise ApiError(
                422, "wrong_length", f"features: found {len(sent)} values; expected {len(names)}"
            )
        return sent
    values = [sent.get(name) for name in names]
    # As many as there are and none missing: then no other name can be among them.
    if (len(sent) != len(names) or None in values) and not sent.keys() <= set(names):
        raise unknown_feature(sent, names)
    return values


def encode(values: list[Value], encoder: RowEncoder) -> list[float]:
    """The model's row.

    Raises ApiError 422 naming the feature whose value is of another kind.
    """
    try:
        return encoder.encode(values)
    except EncodingError as error:
        raise ApiError(422, "invalid_value", str(error)) from None


def invalid_key() -> ApiError:
    """The refusal of a key that no database could keep."""
    return ApiError(422, "invalid_key", f"key: expected at most {KEY_LIMIT} characters, no NUL")


def check_id(prediction_id: str) -> None:
    """Raise ApiError 422 unless this can be a prediction's id."""
    if not PREDICTION_ID.fullmatch(prediction_id):
        raise ApiError(
            422, "invalid_prediction_id", f"prediction_id: expected {PREDICTION_ID.pattern}"
        )


def parse_time(text: str, field: str) -> datetime:
    """An ISO 8601 time as aware UTC; one without a zone is taken as UTC.

    Raises ApiError 422 for anything else.
    """
    try:
        if len(text) > NAME_LIMIT:
            raise ValueError
        moment = datetime.fromisoformat(text)
        if moment.year not in YEARS:  # beyond these, drivers and frames fail on reading
            raise ValueError
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise ApiError(
            422, "invalid_time", f"{field}: expected an ISO 8601 time such as 2026-01-31T12:00:00Z"
        ) from None


def is_clean(text: str, limit: int) -> bool:
    """Whether every database can store a text."""
    return len(text) <= limit and "\0" not in text


def malformed(error: Exception, fields: str) -> ApiError:
    """The refusal of a body that could not be decoded."""
    if isinstance(error, msgspec.ValidationError):
        return ApiError(
            422,
            "invalid_body",
            f"expected a JSON object of {fields}, with single finite values as /docs describes",
        )
    return ApiError(400, "invalid_json", "expected strict JSON in UTF-8")


def unknown_feature(sent: dict[str, Any], names: tuple[str, ...]) -> ApiError:
    """The refusal of names that the schema does not have; it names the nearest that it has."""
    known = set(names)
    unknown = [name for name in sent if name not in known]
    near = difflib.get_close_matches(unknown[0][:NAME_LIMIT], names, n=1, cutoff=0.0)
    hint = f"; nearest known: {near[0]!r}" if near else ""
    return ApiError(422, "unknown_feature", f"features: found {len(unknown)} unknown name(s){hint}")
