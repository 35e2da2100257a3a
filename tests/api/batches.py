"""Batches as tests send them, in every format that the API takes."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

import httpx
import msgspec
import pyarrow

from tests.api.servers import Api

ARROW = "application/vnd.apache.arrow.stream"
FORMATS = ("rows", "columns", "csv", "arrow")

Columns = Mapping[str, Sequence[Any]]


def encode_batch(form: str, columns: Columns) -> tuple[bytes, str]:
    """The columns as a body of this form, and its media type."""
    names = list(columns)
    rows = list(zip(*columns.values(), strict=True))
    if form == "rows":
        document = {"rows": [dict(zip(names, row, strict=True)) for row in rows]}
        return msgspec.json.encode(document), "application/json"
    if form == "columns":
        return msgspec.json.encode({"columns": names, "data": rows}), "application/json"
    if form == "csv":
        text = io.StringIO()
        writer = csv.writer(text)
        writer.writerows([names, *rows])
        return text.getvalue().encode(), "text/csv"
    return encode_table(pyarrow.table(dict(columns))), ARROW


def encode_table(table: pyarrow.Table) -> bytes:
    """A table as an Arrow stream."""
    sink = pyarrow.BufferOutputStream()
    with pyarrow.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    content: bytes = sink.getvalue().to_pybytes()
    return content


def decode_table(content: bytes) -> pyarrow.Table:
    """The table of an Arrow stream."""
    return pyarrow.ipc.open_stream(pyarrow.BufferReader(content)).read_all()


def send(api: Api, content: bytes, media_type: str, **params: str) -> httpx.Response:
    """The answer to a body."""
    headers = {"Content-Type": media_type}
    return api.client.post("/predict/batch", content=content, headers=headers, params=params)


def send_json(api: Api, document: Any, **params: str) -> httpx.Response:
    """The answer to a JSON document."""
    return send(api, msgspec.json.encode(document), "application/json", **params)
