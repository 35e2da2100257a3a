"""The same rows in every form that `/predict/batch` takes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import pyarrow

from benchmarks.batch_limit import ARROW
from benchmarks.serving_models import Case

N_ROWS = 1000
N_BODIES = 8


def encode_bodies(case: Case, form: str) -> list[tuple[bytes, str]]:
    """Distinct bodies of N_ROWS rows in one form, with their media type."""
    bodies = []
    for start in range(0, N_BODIES * N_ROWS // 4, N_ROWS // 4):
        rows = [case.rows[(start + index) % len(case.rows)] for index in range(N_ROWS)]
        bodies.append(_encode(rows, case.names, form))
    return bodies


def _encode(rows: Sequence[dict[str, Any]], names: Sequence[str], form: str) -> tuple[bytes, str]:
    if form == "json rows":
        return msgspec.json.encode({"rows": rows}), "application/json"
    if form == "json columns":
        data = [[row[name] for name in names] for row in rows]
        return msgspec.json.encode({"columns": names, "data": data}), "application/json"
    if form == "csv":
        lines = [
            ",".join("" if row[name] is None else str(row[name]) for name in names) for row in rows
        ]
        return "\n".join([",".join(names), *lines]).encode(), "text/csv"
    columns = {name: _column([row[name] for row in rows]) for name in names}
    table = pyarrow.table(columns)
    sink = pyarrow.BufferOutputStream()
    with pyarrow.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes(), ARROW.decode()


def _column(values: list[Any]) -> Any:
    if any(isinstance(value, str) for value in values):
        return pyarrow.array(values).dictionary_encode()
    return pyarrow.array(values, pyarrow.float32())
