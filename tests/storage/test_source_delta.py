"""Another Delta table: what was added since a version, and nothing twice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from learning.sources import DeltaSource
from storage.source_delta import Added, read_added
from storage.source_errors import SourceDownError, SourceError


def write(root: Path, first: int, n: int, **options: Any) -> None:
    rows = pa.table({"id": list(range(first, first + n)), "day": [first] * n})
    write_deltalake(root / "t", rows, mode=options.pop("mode", "append"), **options)


def read(
    root: Path, since: int | None, page_rows: int = 1000, has_key: bool = False
) -> Added | None:
    source = DeltaSource(kind="delta", url="t")
    return read_added(source, [root], {}, since, page_rows, has_key)


def ids(added: Added | None) -> list[int]:
    assert added is not None
    return [] if added.table is None else sorted(added.table["id"].to_pylist())


@pytest.mark.parametrize("partition_by", [None, ["day"]])
def test_each_row_is_read_once_also_when_files_were_merged(
    tmp_path: Path, partition_by: list[str] | None
) -> None:
    for first in (0, 10, 20):
        write(tmp_path, first, 5, partition_by=partition_by)
    found = read(tmp_path, None)
    assert (ids(found), found and found.version) == ([*range(5), *range(10, 15), *range(20, 25)], 2)
    assert read(tmp_path, 2) is None
    DeltaTable(tmp_path / "t").optimize.compact()
    write(tmp_path, 30, 5, partition_by=partition_by)
    last = DeltaTable(tmp_path / "t").version()
    found = read(tmp_path, 2)
    assert (ids(found), found and found.version) == (list(range(30, 35)), last)
    table = found and found.table
    assert table is not None
    assert set(table["day"].to_pylist()) == {30}


def test_versions_are_gathered_until_a_page_is_full(tmp_path: Path) -> None:
    for first in (0, 10, 20, 30):
        write(tmp_path, first, 5)
    found = read(tmp_path, 0, page_rows=6)
    assert (ids(found), found and found.version) == ([*range(10, 15), *range(20, 25)], 2)
    assert ids(read(tmp_path, 2)) == list(range(30, 35))


def test_a_version_without_rows_moves_the_position_alone(tmp_path: Path) -> None:
    write(tmp_path, 0, 5)
    write(tmp_path, 10, 5)
    DeltaTable(tmp_path / "t").optimize.compact()
    assert read(tmp_path, 1) == Added(None, DeltaTable(tmp_path / "t").version())


def test_rewritten_rows_need_a_key(tmp_path: Path) -> None:
    write(tmp_path, 0, 5)
    DeltaTable(tmp_path / "t").delete("id = 3")
    with pytest.raises(SourceError, match="version 1 changed or removed rows"):
        read(tmp_path, 0)
    assert ids(read(tmp_path, 0, has_key=True)) == [0, 1, 2, 4]


def test_a_table_that_is_missing_or_was_replaced_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceDownError, match="found no folder 't'"):
        read(tmp_path, None)
    (tmp_path / "t").mkdir()
    with pytest.raises(SourceDownError, match="found no Delta table"):
        read(tmp_path, None)
    write(tmp_path, 0, 5)
    with pytest.raises(SourceError, match="found version 0, but 7 was read before"):
        read(tmp_path, 7)
