"""A batch's JSON: rows of named features, or columns with data; decoded piece by piece.

A decoder holds the interpreter while it works. Large bodies are therefore cut between rows into
pieces that take a fraction of a millisecond, so that other requests are answered meanwhile. The
cuts are guesses that the decoder itself checks; where one is wrong, the body is decoded whole.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence
from itertools import chain
from operator import itemgetter
from typing import Annotated, Any

import msgspec
import numpy as np

from api.batch_rows import ROWS_LIMIT, BatchSchema, Rows, add_asides, check_length, join_rows
from api.decoder import (
    MALFORMED,
    Integer,
    PredictBody,
    Scalar,
    encode,
    malformed,
    unknown_feature,
    values_in_order,
)
from api.errors import ApiError
from storage.encoding import TEXT_LIMIT, Value

PIECE_BYTES = 64 * 1024
FIELDS = "rows, or columns and data; keys, event_times, prediction_ids"
OPENING = re.compile(rb'(?<!\\)"(?:rows|data)"\s*:\s*\[')
# Stands for the rows while the rest of the document is decoded.
MARK = b"[8417203659]"
NUMBER = float | None
TEXT = Annotated[str, msgspec.Meta(max_length=TEXT_LIMIT)] | bool | Integer | float | None


# A document's part that was not sent; what was sent is never empty.
NOTHING = msgspec.Raw(b"")


class BatchBody(msgspec.Struct, forbid_unknown_fields=True):
    """What `/predict/batch` takes as JSON."""

    rows: msgspec.Raw = NOTHING
    columns: list[str] | None = None
    data: msgspec.Raw = NOTHING
    keys: list[str | Integer | None] | None = None
    event_times: list[str | None] | None = None
    prediction_ids: list[str | None] | None = None


_body_decoder = msgspec.json.Decoder(BatchBody)
_raw_decoder = msgspec.json.Decoder(list[msgspec.Raw])
_row_decoder = msgspec.json.Decoder(dict[str, Scalar] | list[Scalar])


class JsonReader:
    """Decodes batches of one schema; its typed decoders are made once."""

    def __init__(self, schema: BatchSchema) -> None:
        self._schema = schema
        kinds = [NUMBER if f.kind == "numeric" else TEXT for f in schema.features]
        self._lists = msgspec.json.Decoder(list[tuple[tuple(kinds)]])  # type: ignore[misc]
        fields = [(f"f{place}", kind, None) for place, kind in enumerate(kinds)]
        row = msgspec.defstruct(
            "Row",
            fields,
            rename={f"f{place}": name for place, name in enumerate(schema.names)},
            forbid_unknown_fields=True,
            gc=False,
        )
        self._dicts = msgspec.json.Decoder(list[row])  # type: ignore[valid-type]
        self._numbers = _getter(schema.number_places)

    def read(self, content: bytes) -> Rows:
        """The rows of a document.

        Raises ApiError 400 for what is no JSON, 422 for another document or number of rows.
        """
        try:
            body, pieces = _open(content)
            try:
                rows = self._read(body, pieces)
            except MALFORMED:
                if pieces is None:
                    raise
                # A cut went through a row: a text holds what looks like the end of one.
                body = _body_decoder.decode(content)
                rows = self._read(body, None)
        except MALFORMED as error:
            raise malformed(error, FIELDS) from None
        check_length(len(rows))
        add_asides(rows, body.keys, body.event_times, body.prediction_ids)
        return rows

    def _order(self, columns: list[str]) -> list[int] | None:
        """Place in ``columns`` of each feature, -1 where it is not sent; None for the schema's."""
        names = self._schema.names
        if tuple(columns) == names:
            return None
        if len(set(columns)) != len(columns):
            raise ApiError(422, "invalid_columns", "columns: expected each name once")
        places = {name: place for place, name in enumerate(columns)}
        if not places.keys() <= set(names):
            raise unknown_feature(places, names)
        return [places.get(name, -1) for name in names]

    def _read(self, body: BatchBody, pieces: Iterator[bytes] | None) -> Rows:
        rows, data = bytes(body.rows), bytes(body.data)
        is_named = bool(rows)
        if is_named == bool(data) or is_named == (body.columns is not None):
            raise malformed(msgspec.ValidationError(), FIELDS)
        order = None if body.columns is None else self._order(body.columns)
        parts: list[Rows] = []
        n_rows = 0
        for piece in pieces or (rows or data,):
            part = self._read_piece(piece, body.columns, order)
            parts.append(part)
            n_rows += len(part)
            if n_rows > ROWS_LIMIT:
                break  # refused for its length: the rest need not be read
            time.sleep(0)  # lets waiting requests have the interpreter
        return join_rows(parts)

    def _read_piece(self, piece: bytes, columns: list[str] | None, order: list[int] | None) -> Rows:
        if order is None:
            try:
                if columns is not None:
                    return self._typed(self._lists.decode(piece))
                found = self._dicts.decode(piece)
                return self._typed(list(map(msgspec.structs.astuple, found)))
            except msgspec.ValidationError:
                pass  # some row is wrong or spelt unusually: each is looked at by itself
        return self._singly(_raw_decoder.decode(piece), columns, order)

    def _typed(self, rows: list[Any]) -> Rows:
        schema = self._schema
        n_rows, n_numbers = len(rows), len(schema.number_places)
        if not schema.text_places:
            return self._checked(_to_array(rows, n_rows, n_numbers), [])
        numbers = _to_array(list(map(self._numbers, rows)), n_rows, n_numbers)
        texts = [[row[place] for row in rows] for place in schema.text_places]
        return self._checked(numbers, texts)

    def _checked(self, numbers: Any, texts: list[list[Value]]) -> Rows:
        rows = Rows(numbers, texts, [])
        rows.check_numbers(self._schema)
        for place, column in zip(self._schema.text_places, texts, strict=True):
            codes, wrong = self._schema.encode_texts(place, column)
            rows.codes.append(codes)
            for index, detail in wrong.items():
                rows.refuse(index, "invalid_value", detail)
        return rows

    def _singly(
        self, raws: list[msgspec.Raw], columns: list[str] | None, order: list[int] | None
    ) -> Rows:
        schema = self._schema
        missing: list[Value] = [None] * len(schema.names)
        found: list[list[Value]] = []
        errors: dict[int, tuple[str, str]] = {}
        for index, raw in enumerate(raws):
            try:
                values = self._values(raw, columns, order)
                encode(values, schema.encoder)
            except ApiError as error:
                errors[index] = (error.code, error.detail)
                values = missing
            found.append(values)
        numbers = _to_array(list(map(self._numbers, found)), len(raws), len(schema.number_places))
        texts = [[row[place] for row in found] for place in schema.text_places]
        rows = self._checked(numbers, texts)
        rows.errors = errors
        return rows

    def _values(
        self, raw: msgspec.Raw, columns: list[str] | None, order: list[int] | None
    ) -> list[Value]:
        try:
            row = _row_decoder.decode(raw)
        except MALFORMED as error:
            raise malformed(error, "single finite values") from None
        if columns is None:
            if isinstance(row, list):
                raise ApiError(422, "invalid_row", "expected an object of features")
        elif not isinstance(row, list):
            raise ApiError(422, "invalid_row", "expected a list of values, one for each column")
        elif len(row) != len(columns):
            detail = f"found {len(row)} values; expected {len(columns)}"
            raise ApiError(422, "wrong_length", detail)
        elif order is not None:
            row = [None if place < 0 else row[place] for place in order]
        return values_in_order(PredictBody(row), self._schema.encoder)


def _getter(places: Sequence[int]) -> Any:
    if len(places) > 1:
        return itemgetter(*places)
    return lambda row: tuple(row[place] for place in places)


def _to_array(rows: Sequence[Any], n_rows: int, width: int) -> Any:
    try:
        flat = np.fromiter(chain.from_iterable(rows), np.float64, n_rows * width)
    except TypeError:  # a missing value: numpy makes None a NaN only on this slower way
        flat = np.array(list(chain.from_iterable(rows)), dtype=np.float64)
    return flat.reshape(n_rows, width)


def _open(content: bytes) -> tuple[BatchBody, Iterator[bytes] | None]:
    """The document; where it is a large one, without its rows, and these as lists to decode."""
    opening = OPENING.search(content) if len(content) > PIECE_BYTES else None
    if opening is not None:
        start = opening.end()
        inner = b"}" if opening[0].startswith(b'"rows"') else b"]"
        end = content.find(inner + b"]", start)
        if end > 0:
            try:
                body = _body_decoder.decode(content[: start - 1] + MARK + content[end + 2 :])
            except MALFORMED:
                return _body_decoder.decode(content), None
            if MARK in {bytes(body.rows), bytes(body.data)}:
                return body, _cut(content, start, end + 1, inner)
    return _body_decoder.decode(content), None


def _cut(content: bytes, start: int, end: int, inner: bytes) -> Iterator[bytes]:
    while start < end:
        cut = content.find(inner + b",", start + PIECE_BYTES, end)
        stop = end if cut < 0 else cut + 1
        yield b"[" + content[start:stop] + b"]"
        start = stop + 1
