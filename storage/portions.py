"""A table read a portion at a time, so that its size does not matter: CSV, CSV.gz and Parquet."""

from __future__ import annotations

import csv
import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import TextIOWrapper
from itertools import islice
from pathlib import Path
from typing import IO, Any, cast

import pyarrow as pa
import pyarrow.parquet as pq

from storage.tabular import refuse_duplicates, refuse_other_kinds
from storage.tabular_error import TableError

SUFFIXES = (".csv", ".csv.gz", ".parquet")
PORTION_ROWS = 10_000
LONGEST_LINE = 4 << 20  # characters
HEAD_BYTES = 4_096


@dataclass(frozen=True)
class Portion:
    """Some rows in order: ``columns`` as they came, one list a column, all of one length.

    ``first_row`` counts from 1; ``ragged`` are places in the portion of lines with another number
    of fields than the header, filled up with None. ``share`` of the file was read so far.
    """

    first_row: int
    columns: list[list[Any]]
    share: float
    ragged: dict[int, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.columns[0])


@dataclass(frozen=True)
class OpenTable:
    """A table's header, its Arrow types (None where all is text), and its portions, once."""

    names: list[str]
    types: list[pa.DataType] | None
    portions: Iterator[Portion]


@contextmanager
def open_portions(path: Path) -> Iterator[OpenTable]:
    """The table in a file, by its suffix. Raises TableError, also while it is read."""
    lower = path.name.lower()
    if not lower.endswith(SUFFIXES):
        raise TableError("suffix", f"{path.name}: expected a name ending in {', '.join(SUFFIXES)}")
    try:
        with path.open("rb") as file:
            if lower.endswith(".parquet"):
                yield _parquet(file, path.name)
            else:
                yield _csv(file, path, is_zipped=lower.endswith(".gz"))
    except FileNotFoundError as error:
        if error.filename != str(path):
            raise
        raise TableError("unreadable", f"{path.name}: found no such file") from None


def _parquet(file: IO[bytes], name: str) -> OpenTable:
    try:
        table = pq.ParquetFile(file)
        schema = table.schema_arrow
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise TableError("not_parquet", f"{name}: found no readable Parquet data") from error
    refuse_duplicates(schema.names, name)

    def portions() -> Iterator[Portion]:
        done, total = 0, max(table.metadata.num_rows, 1)
        try:
            for batch in table.iter_batches(batch_size=PORTION_ROWS):
                columns = [column.to_pylist() for column in batch.columns]
                done += batch.num_rows
                yield Portion(done - batch.num_rows + 1, columns, done / total)
        except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
            raise TableError("not_parquet", f"{name}: the Parquet data is damaged") from error

    return OpenTable(schema.names, schema.types, portions())


def _csv(file: IO[bytes], path: Path, is_zipped: bool) -> OpenTable:
    plain = cast(IO[bytes], gzip.GzipFile(fileobj=file)) if is_zipped else file
    rows = _told(_fields(plain, path.name), path.name)
    names = next(rows, (1, []))[1]
    if not names:
        raise TableError("empty", f"{path.name}: the file is empty; expected a header line")
    names = [name.strip() or f"Unnamed: {place}" for place, name in enumerate(names)]
    refuse_duplicates(names, f"{path.name}: line 1")
    size = max(path.stat().st_size, 1)

    def portions() -> Iterator[Portion]:
        first = 1
        while part := list(islice(rows, PORTION_ROWS)):
            ragged = {
                place: len(fields)
                for place, (_, fields) in enumerate(part)
                if len(fields) != len(names)
            }
            empty = [None] * len(names)
            lines = [empty if place in ragged else row for place, (_, row) in enumerate(part)]
            columns = [list(column) for column in zip(*lines, strict=True)]
            yield Portion(first, columns, min(file.tell() / size, 1.0), ragged)
            first += len(part)

    return OpenTable(names, None, portions())


def _fields(plain: IO[bytes], name: str) -> Iterator[tuple[int, list[str]]]:
    """Line number and fields of each row that is not blank."""
    head = plain.read(HEAD_BYTES)
    plain.seek(0)
    refuse_other_kinds(head, name)
    text = TextIOWrapper(plain, encoding="utf-8-sig", newline="")
    reader = csv.reader(_lines(text, name), strict=True)
    for fields in reader:
        if fields:
            yield reader.line_num, fields
    text.detach()  # or its end would close the file, which is asked how far it was read


def _lines(text: TextIOWrapper, name: str) -> Iterator[str]:
    number = 0
    while line := text.readline(LONGEST_LINE):
        number += 1
        if len(line) >= LONGEST_LINE:
            raise TableError("too_large", f"{name}: line {number} is longer than 4 MB")
        if "\0" in line:
            raise TableError("nul", f"{name}: line {number}: found a NUL byte; expected CSV text")
        yield line


def _told(rows: Iterator[tuple[int, list[str]]], name: str) -> Iterator[tuple[int, list[str]]]:
    """The same rows; what goes wrong while they are read is told as a TableError."""
    line = 0
    try:
        for line, fields in rows:
            yield line, fields
    except UnicodeDecodeError as error:
        where = f"{name}: behind line {line}"
        raise TableError("encoding", f"{where}: found what is not UTF-8; save as UTF-8") from error
    except csv.Error as error:
        raise TableError("quotes", f"{name}: behind line {line}: {error}") from error
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise TableError("damaged", f"{name}: the gzip data is damaged: {error}") from error
