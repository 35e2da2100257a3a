"""A batch's CSV: a header line of names, commas, UTF-8; loaded with the first one."""

from __future__ import annotations

import codecs
from typing import Any

import pyarrow
from pyarrow import csv

from api.batch_arrow import rows_of
from api.batch_rows import ASIDE, ROWS_LIMIT, BatchSchema, Rows, check_length
from api.errors import ApiError

PIECE_BYTES = 1024 * 1024
BOM = codecs.BOM_UTF8


def read_csv(content: bytes, schema: BatchSchema) -> Rows:
    """The rows of a table; an empty field is a missing value.

    Raises ApiError 400 for what is no CSV in UTF-8, 422 for other columns or number of rows.
    """
    content = content.removeprefix(BOM)
    _check_text(content)
    ragged: dict[int, int] = {}
    try:
        table, singly = _read(content, schema, ragged)
    except pyarrow.ArrowException:
        raise _no_csv() from None
    rows = _with_gaps(table, sorted(ragged), schema)
    for place, n_found in ragged.items():
        detail = f"found {n_found} fields; expected {table.num_columns}"
        rows.refuse(place, "wrong_length", detail)
    for place, name in singly.items():
        rows.refuse(place, "invalid_value", f"feature {name!r}: found text; expected a number")
    return rows


def _read(
    content: bytes, schema: BatchSchema, ragged: dict[int, int]
) -> tuple[Any, dict[int, str]]:
    """The table without ragged rows, and the feature at fault of the rows that hold no number."""
    numeric = {schema.names[place] for place in schema.number_places}
    try:
        return _parse(content, schema, ragged, numeric), {}
    except pyarrow.ArrowInvalid:
        ragged.clear()
    # Some field is no number: all are read as texts, to find which.
    table = _parse(content, schema, ragged, set())
    gaps = sorted(ragged)
    wrong: dict[int, str] = {}
    for place, name in enumerate(table.column_names):
        if name in numeric:
            values = table.column(place).to_pylist()
            numbers = [_number(value) for value in values]
            for index, (value, number) in enumerate(zip(values, numbers, strict=True)):
                if number is None and value is not None:
                    wrong.setdefault(_original(index, gaps), name)
            table = table.set_column(place, name, pyarrow.array(numbers, pyarrow.float64()))
    return table, wrong


def _parse(content: bytes, schema: BatchSchema, ragged: dict[int, int], numeric: set[str]) -> Any:
    def note(row: Any) -> str:
        ragged[row.number - 2] = row.actual_columns  # lines count from 1, the header first
        if len(ragged) > ROWS_LIMIT:
            return "error"
        return "skip"

    kinds = {name: pyarrow.string() for name in (*ASIDE, *schema.names)}
    kinds |= {name: pyarrow.float64() for name in numeric}
    return csv.read_csv(
        pyarrow.BufferReader(content),
        read_options=csv.ReadOptions(use_threads=False, block_size=2 * PIECE_BYTES),
        parse_options=csv.ParseOptions(
            newlines_in_values=True, ignore_empty_lines=False, invalid_row_handler=note
        ),
        convert_options=csv.ConvertOptions(
            column_types=kinds,
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
        ),
    )


def _with_gaps(table: Any, gaps: list[int], schema: BatchSchema) -> Rows:
    """The rows with an empty one in place of each that is ragged."""
    if not gaps:
        return rows_of(table, schema)
    n_rows = table.num_rows + len(gaps)
    check_length(n_rows)
    missing = set(gaps)
    places = iter(range(table.num_rows))
    taken = pyarrow.array([None if row in missing else next(places) for row in range(n_rows)])
    return rows_of(table.take(taken.cast(pyarrow.int64())), schema)


def _original(index: int, gaps: list[int]) -> int:
    for gap in gaps:
        if gap > index:
            break
        index += 1
    return index


def _number(text: str | None) -> float | None:
    if text is None or not text.isascii() or "_" in text:
        return None
    try:
        return float(text)
    except ValueError:
        return None


def _check_text(content: bytes) -> None:
    if content.count(b'"') % 2:
        raise _no_csv()  # a quote is never closed: the rest of the file would be one field
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        for start in range(0, len(content), PIECE_BYTES):
            piece = decoder.decode(content[start : start + PIECE_BYTES])
            if "\0" in piece:
                raise _no_csv()
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        raise _no_csv() from None


def _no_csv() -> ApiError:
    return ApiError(400, "invalid_csv", "expected CSV in UTF-8: a header of names, then the rows")
