"""A batch's Arrow stream; loaded with the first one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow
from pyarrow import types

from api.batch_arrow_guard import check_message
from api.batch_rows import ASIDE, BatchSchema, Rows, add_asides, check_length
from api.decoder import unknown_feature
from api.errors import ApiError
from storage.encoding import MISSING_CODE, Value

COLUMNS_LIMIT = 10_000
# Kinds of columns that become one matrix in a single step, none losing anything.
AT_ONCE = frozenset({pyarrow.float32(), pyarrow.float64(), pyarrow.int8(), pyarrow.int16()})


def read_arrow(content: bytes, schema: BatchSchema) -> Rows:
    """The rows of a stream.

    Raises ApiError 400 for what is no stream, 422 for other columns or another number of rows.
    """
    try:
        table = _table(content)
    except (pyarrow.ArrowException, OSError, ValueError, KeyError, IndexError, MemoryError):
        raise ApiError(400, "invalid_arrow", "expected a whole Arrow stream") from None
    return rows_of(table, schema)


@dataclass(frozen=True)
class Plan:
    """What the columns of a stream mean: clients send the same ones again and again.

    ``numbers`` are the columns of the numeric features where all become one matrix in a single
    step, else None.
    """

    columns: Any
    places: Mapping[str, int]
    numbers: Sequence[int] | None


def rows_of(table: Any, schema: BatchSchema) -> Rows:
    """The rows of a table whose columns are features, ``key``, ``event_time``, ``prediction_id``.

    Raises ApiError 422.
    """
    check_length(table.num_rows)
    plan = schema.arrow_plan
    if plan is None or not plan.columns.equals(table.schema):
        plan = schema.arrow_plan = _plan(table.schema, schema)

    def column(name: str) -> Any:
        return table.column(plan.places[name]) if name in plan.places else None

    rows = Rows(_numbers(table, plan, schema), [], [])
    rows.check_numbers(schema)
    for place in schema.text_places:
        _add_texts(rows, column(schema.names[place]), place, schema)
    asides = [None if name in schema.names else _aside(column(name), name) for name in ASIDE]
    add_asides(rows, *asides)
    return rows


def _plan(columns: Any, schema: BatchSchema) -> Plan:
    names = columns.names
    if len(set(names)) != len(names):
        raise ApiError(422, "invalid_columns", "columns: expected each name once")
    known = {*schema.names, *ASIDE}
    if not known.issuperset(names):
        raise unknown_feature(dict.fromkeys(n for n in names if n not in known), schema.names)
    places = {name: place for place, name in enumerate(names)}
    wanted = [places.get(schema.names[place]) for place in schema.number_places]
    found = [place for place in wanted if place is not None]
    is_at_once = all(columns.field(place).type in AT_ONCE for place in found)
    return Plan(columns, places, found if found == wanted and found and is_at_once else None)


def _table(content: bytes) -> Any:
    """All record batches, checked to the last offset: nothing in them can be trusted."""
    source = pyarrow.BufferReader(content)
    n_rows = 0
    for message in pyarrow.ipc.MessageReader.open_stream(source):
        n_rows += check_message(message.metadata)
        check_length(max(n_rows, 1))
    with pyarrow.ipc.open_stream(pyarrow.BufferReader(content)) as stream:
        if len(stream.schema) > COLUMNS_LIMIT:
            raise ApiError(422, "invalid_columns", f"expected at most {COLUMNS_LIMIT} columns")
        table = stream.read_all()
    table.validate(full=True)
    return table


def _numbers(table: Any, plan: Plan, schema: BatchSchema) -> Any:
    if plan.numbers is None:
        columns = {name: table.column(place) for name, place in plan.places.items()}
        return _numbers_singly(columns, schema, table.num_rows)
    batches = table.select(plan.numbers).to_batches()
    parts = [batch.to_tensor(null_to_nan=True).to_numpy() for batch in batches]
    numbers = parts[0] if len(parts) == 1 else np.concatenate(parts)
    return numbers if numbers.dtype == np.float32 else numbers.astype(np.float64)


def _numbers_singly(columns: dict[str, Any], schema: BatchSchema, n_rows: int) -> Any:
    found = [columns.get(schema.names[place]) for place in schema.number_places]
    for place, column in zip(schema.number_places, found, strict=True):
        if column is not None and not _is_number(column.type):
            raise _wrong_kind(schema.names[place], "a column of numbers")
    # Twice the bytes only where float32 would lose something that was sent.
    kinds = {column.type for column in found if column is not None}
    dtype = np.float32 if all(map(_fits_float32, kinds)) else np.float64
    numbers = np.full((len(found), n_rows), np.nan, dtype=dtype)
    for target, column in zip(numbers, found, strict=True):
        if column is not None and not types.is_null(column.type):
            start = 0
            for chunk in column.chunks:
                target[start : start + len(chunk)] = _as_floats(chunk, dtype)
                start += len(chunk)
    return np.ascontiguousarray(numbers.T)


def _as_floats(chunk: Any, dtype: Any) -> Any:
    if types.is_boolean(chunk.type):
        chunk = chunk.cast(pyarrow.int8())
    if not chunk.null_count:
        return chunk.to_numpy(zero_copy_only=False)
    kind = pyarrow.float32() if dtype == np.float32 else pyarrow.float64()
    return chunk.cast(kind, safe=False).to_numpy(zero_copy_only=False)  # null becomes NaN


def _add_texts(rows: Rows, column: Any, place: int, schema: BatchSchema) -> None:
    n_rows = len(rows)
    if column is None or types.is_null(column.type):
        rows.texts.append([None] * n_rows)
        rows.codes.append(np.full(n_rows, MISSING_CODE, dtype=np.float32))
        return
    values, indices = _distinct(column, schema.names[place])
    # The last one stands for the missing: an index of -1 finds it.
    spelt: list[Value] = [*values, None]
    codes, wrong = schema.encode_texts(place, spelt)
    rows.codes.append(codes[indices])
    rows.texts.append([spelt[index] for index in indices.tolist()])
    for code, detail in wrong.items():
        for index in np.flatnonzero(indices == code).tolist():
            rows.refuse(index, "invalid_value", detail)


def _distinct(column: Any, name: str) -> tuple[list[Any], Any]:
    """The distinct values of a column, and for each row the place of its own, -1 for none."""
    kind = column.type
    inner = kind.value_type if types.is_dictionary(kind) else kind
    if not (_is_text(inner) or _is_number(inner)):
        raise _wrong_kind(name, "a column of texts, numbers or a dictionary of them")
    if not types.is_dictionary(kind):
        column = column.dictionary_encode()
    chunk = column.unify_dictionaries().combine_chunks()
    if isinstance(chunk, pyarrow.ChunkedArray):
        chunk = chunk.chunk(0)
    values = chunk.dictionary.to_pylist()
    indices = chunk.indices.cast(pyarrow.int64()).fill_null(-1).to_numpy(zero_copy_only=False)
    return values, indices


def _aside(column: Any, name: str) -> Sequence[Any] | None:
    if column is None or types.is_null(column.type):
        return None
    if types.is_timestamp(column.type) and name == "event_time":
        column = column.cast(pyarrow.timestamp("us"), safe=False)
        return [None if value is None else value.isoformat() for value in column.to_pylist()]
    if not (_is_text(column.type) or (types.is_integer(column.type) and name == "key")):
        raise _wrong_kind(name, "a column of texts")
    values: list[Any] = column.to_pylist()
    return values


def _is_number(kind: Any) -> bool:
    checks = (types.is_integer, types.is_floating, types.is_boolean, types.is_null)
    return any(check(kind) for check in checks)


def _is_text(kind: Any) -> bool:
    return bool(types.is_string(kind) or types.is_large_string(kind))


def _fits_float32(kind: Any) -> bool:
    if types.is_floating(kind) or types.is_integer(kind):
        return bool(kind.bit_width <= 32 if types.is_floating(kind) else kind.bit_width <= 16)
    return True


def _wrong_kind(name: str, expected: str) -> ApiError:
    return ApiError(422, "invalid_columns", f"column {name!r}: expected {expected}")
