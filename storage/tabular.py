"""Tables in files: CSV, JSON lines and Parquet, read so that nothing is silently changed."""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import IO, Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from learning.validation_values import NO_NUMBER
from storage.tabular_error import TableError
from storage.tabular_json import json_lines, table_of

__all__ = [
    "SUFFIXES",
    "TableError",
    "frame_of",
    "read_open_table",
    "read_table",
    "refuse_duplicates",
    "refuse_other_kinds",
]

SUFFIXES = (".csv", ".csv.gz", ".jsonl", ".jsonl.gz", ".parquet")
CHUNK_ROWS = 10_000
UNZIPPED_LIMIT = 2 << 30
UNZIP_STEP = 16 << 20
MOST_CELLS = 500_000_000  # of a Parquet file, which may repeat a value at no cost
MOST_GROWTH = 200  # tables in text shrink to a tenth or so; only a bomb reaches a thousandth


def read_table(path: Path) -> pd.DataFrame:
    """The table in a file whose name ends in one of `SUFFIXES`. See `read_open_table`."""
    try:
        with path.open("rb") as file:
            return read_open_table(file, path.name)
    except OSError as error:
        reason = error.strerror or str(error)
        raise TableError("unreadable", f"{path.name}: cannot be read: {reason}") from error


def read_open_table(file: IO[bytes], name: str) -> pd.DataFrame:
    """The table in an open file whose name ends in one of `SUFFIXES`.

    CSV is UTF-8 with commas and one header line. A column of whole numbers becomes int64 (float64
    if some are missing), of numbers float64, of true and false bool; everything else stays text,
    also numbers that would lose leading zeros or digits. Blank cells are missing. JSON lines are
    read as `table_of` says. Raises `TableError` naming the file, the line, what was found and what
    to do.
    """
    try:
        return _read(file, name)
    except (TableError, OSError, MemoryError):
        raise
    except Exception as error:  # no file may keep those behind it waiting for ever
        raise TableError(
            "unreadable",
            f"{name}: reading it failed ({type(error).__name__}); write it again as plain CSV",
        ) from error


def _read(file: IO[bytes], name: str) -> pd.DataFrame:
    lower = name.lower()
    if lower.endswith(".parquet"):
        return _read_parquet(file, name)
    if lower.endswith(".gz"):
        file, lower = io.BytesIO(_gunzip(file, name)), lower.removesuffix(".gz")
    if lower.endswith(".jsonl"):
        return frame_of(table_of(json_lines(file.read(), name)), name)
    if lower.endswith(".csv"):
        return _read_csv(file.read(), name)
    raise TableError(
        "suffix", f"{name}: unknown kind of file; expected a name ending in {', '.join(SUFFIXES)}"
    )


def _gunzip(file: IO[bytes], name: str) -> bytes:
    try:
        is_gzip = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        with gzip.GzipFile(fileobj=file) as unzipped:
            return _bounded(unzipped, file, name)
    except (EOFError, zlib.error) as error:
        raise TableError(
            "truncated", f"{name}: the gzip data ends too early or is damaged; copy the file again"
        ) from error
    except gzip.BadGzipFile as error:
        if is_gzip:
            raise TableError(
                "damaged", f"{name}: the gzip data is damaged ({error}); copy the file again"
            ) from error
        raise TableError(
            "not_gzip", f"{name}: found no gzip data; compress it, or rename it to end in .csv"
        ) from error


def _bounded(unzipped: gzip.GzipFile, file: IO[bytes], name: str) -> bytes:
    """What a gzip file holds; refuses what grows as no table does, before it fills the memory."""
    content = bytearray()
    while part := unzipped.read(UNZIP_STEP):
        content += part
        zipped = max(file.tell(), 1)
        if len(content) > UNZIPPED_LIMIT or len(content) > max(UNZIP_STEP, MOST_GROWTH * zipped):
            raise TableError(
                "too_large",
                f"{name}: the gzip data unpacks to more than {len(content) // 2**20} MB, "
                f"{len(content) // zipped} times its size; split the file into smaller ones",
            )
    return bytes(content)


def _read_csv(content: bytes, name: str) -> pd.DataFrame:
    text = _decode(content, name)
    rows = _rows(text, name)
    try:
        header = _header(rows, name)
    except StopIteration:
        raise TableError("empty", f"{name}: the file is empty; expected a header line") from None
    chunks: list[pa.Table] = []
    while part := list(islice(rows, CHUNK_ROWS)):
        _, values = zip(*_checked(part, header, name), strict=True)
        columns = [pa.array(column, pa.large_string()) for column in zip(*values, strict=True)]
        chunks.append(pa.Table.from_arrays(columns, names=header))
    if not chunks:
        raise TableError("no_rows", f"{name}: found a header line and no rows below it")
    table = pa.concat_tables(chunks).combine_chunks()
    return pd.DataFrame({column: _typed(table[column]) for column in header})


def refuse_other_kinds(content: bytes, name: str) -> None:
    """Raise `TableError` for the beginning of a file that is plainly something else than CSV."""
    if content.startswith((b"PAR1", b"\x1f\x8b", b"PK\x03\x04")):
        kinds = {b"P": "Parquet", b"\x1f": "gzip"}
        kind = "zip or Excel" if content.startswith(b"PK") else kinds[content[:1]]
        raise TableError("not_csv", f"{name}: found {kind} data; expected CSV text")
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise TableError("encoding", f"{name}: found UTF-16 text; save the file as UTF-8")
    head = content[:200].decode("utf-8-sig", "replace").lstrip().lower()
    if head.startswith(("<!doctype html", "<html", "<?xml")):
        raise TableError(
            "html", f"{name}: found a web page; expected CSV text; download the file itself"
        )


def _decode(content: bytes, name: str) -> str:
    """The text of a CSV file; refuses what is plainly something else."""
    refuse_other_kinds(content, name)
    if (place := content.find(b"\0")) >= 0:
        line = content.count(b"\n", 0, place) + 1
        raise TableError("nul", f"{name}: line {line}: found a NUL byte; expected CSV text")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise TableError(
            "encoding",
            f"{name}: line {line}: found the byte 0x{content[error.start]:02x}, which is not "
            "UTF-8; save the file as UTF-8",
        ) from error


def _rows(text: str, name: str) -> Iterator[tuple[int, list[str]]]:
    """The line that each row starts on, and its fields; blank lines are passed over."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    start = 1
    try:
        for fields in reader:
            if fields:
                yield start, fields
            start = reader.line_num + 1
    except csv.Error as error:
        raise TableError(
            "quotes",
            f"{name}: line {start}: a quoted field is not closed properly ({error}); "
            'write a quote inside quotes twice ("")',
        ) from error


def _header(rows: Iterator[tuple[int, list[str]]], name: str) -> list[str]:
    """Column names; one without a name is called as pandas does, ``Unnamed: 0``."""
    line, fields = next(rows)
    if len(fields) == 1 and (other := next((mark for mark in ";\t|" if mark in fields[0]), None)):
        raise TableError(
            "delimiter",
            f"{name}: line {line}: found one column with {other!r} in its name; "
            "expected columns separated by commas",
        )
    names = [field.strip() or f"Unnamed: {place}" for place, field in enumerate(fields)]
    refuse_duplicates(names, f"{name}: line {line}")
    return names


def refuse_duplicates(names: list[str], where: str) -> None:
    """Raise `TableError` when two columns have one name."""
    for place, column in enumerate(names):
        if column in names[:place]:
            raise TableError(
                "duplicate_header", f"{where}: the column {column!r} stands twice; rename one"
            )


def _checked(
    part: list[tuple[int, list[str]]], header: list[str], name: str
) -> list[tuple[int, list[str]]]:
    """The rows themselves; raises `TableError` at the first with too few or too many fields."""
    expected = len(header)
    for line, fields in part:
        if len(fields) != expected:
            problem = "too few" if len(fields) < expected else "too many"
            raise TableError(
                "ragged",
                f"{name}: line {line}: found {len(fields)} field{'s' * (len(fields) != 1)}, "
                f"{problem}; expected {expected} as in the header; quote fields that hold a comma",
            )
    return part


def _typed(column: pa.ChunkedArray) -> pd.Series[Any]:
    """A column of text as numbers or truths where all of it is, else as text."""
    trimmed = pc.utf8_trim_whitespace(column)
    blank = pc.equal(pc.utf8_length(trimmed), 0)
    kept = pc.if_else(blank, None, column)
    trimmed = pc.if_else(blank, None, trimmed)
    if pc.all(blank).as_py():
        return pd.Series([float("nan")] * len(column), dtype="float64")
    numbers = pc.if_else(pc.is_in(trimmed, pa.array(NO_NUMBER, trimmed.type)), None, trimmed)
    if numbers.null_count < len(numbers) and not _loses_digits(numbers):
        for kind in (pa.int64(), pa.float64()):
            try:
                return _series(pc.cast(numbers, kind))
            except pa.ArrowInvalid:
                continue
    lower = pc.utf8_lower(trimmed)
    if pc.all(pc.is_in(lower.drop_null(), pa.array(["true", "false"], lower.type))).as_py():
        return _series(pc.equal(lower, "true"))
    return _series(kept).astype("str")


def _series(column: pa.ChunkedArray) -> pd.Series[Any]:
    series: pd.Series[Any] = column.to_pandas()
    return series


def _loses_digits(numbers: pa.ChunkedArray) -> bool:
    """Whether some text is a code rather than a number: 007, 0x1F, or too long for its type.

    int64 holds 18 digits; a column with missing values becomes float64, which holds 15.
    """
    digits = 16 if numbers.null_count else 19
    code = pc.match_substring_regex(numbers, rf"^[+-]?0[0-9xX]|^[+-]?[0-9]{{{digits},}}$")
    return bool(pc.any(code).as_py())


def _read_parquet(file: IO[bytes], name: str) -> pd.DataFrame:
    try:
        stored = pq.ParquetFile(pa.PythonFile(file, mode="r"))
        _refuse_bomb(stored.metadata, name)
        table = stored.read()
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise TableError(
            "not_parquet",
            f"{name}: found no readable Parquet data; it may be cut short; write or copy it again",
        ) from error
    return frame_of(table, name)


def _refuse_bomb(metadata: pq.FileMetaData, name: str) -> None:
    """Refuse a file whose few bytes stand for more cells than the memory should have to hold."""
    cells = metadata.num_rows * metadata.num_columns
    if cells > MOST_CELLS:
        raise TableError(
            "too_large",
            f"{name}: found {metadata.num_rows:,} rows of {metadata.num_columns} columns, more "
            f"than {MOST_CELLS:,} cells; split the file into smaller ones",
        )


def frame_of(table: pa.Table, name: str) -> pd.DataFrame:
    """A table of plain columns as a frame: decimals as float64, dictionaries and bytes as values.

    Raises `TableError` for columns of one name or of nested values, and for a table without rows.
    """
    refuse_duplicates(table.column_names, name)
    if not table.num_columns or not table.num_rows:
        raise TableError("no_rows", f"{name}: found no rows; expected at least one")
    for field in table.schema:
        if pa.types.is_nested(field.type):
            raise TableError(
                "nested",
                f"{name}: the column {field.name!r} holds {field.type}; expected one plain value "
                "per row",
            )
    frame: pd.DataFrame = _cast(table, name).to_pandas(ignore_metadata=True)
    return frame


def _cast(table: pa.Table, name: str) -> pa.Table:
    """The table with plain types; raises `TableError` where bytes are no text."""
    try:
        return table.cast(_plain(table.schema))
    except (pa.ArrowInvalid, UnicodeDecodeError):
        places = [place for place in table.schema if _is_bytes(place.type)]
        names = ", ".join(repr(place.name) for place in places)
        raise TableError(
            "encoding", f"{name}: found bytes that are not UTF-8 text in the columns {names}"
        ) from None


def _is_bytes(kind: pa.DataType) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _plain(schema: pa.Schema) -> pa.Schema:
    """The schema with decimals as float64, dictionaries as their values, bytes as text."""
    fields = []
    for field in schema:
        kind = field.type
        if pa.types.is_dictionary(kind):
            kind = kind.value_type
        if pa.types.is_decimal(kind):
            kind = pa.float64()
        if _is_bytes(kind):
            kind = pa.string()
        fields.append(pa.field(field.name, kind))
    return pa.schema(fields)
