"""JSON as rows: what each value becomes, and what no row is."""

from __future__ import annotations

import gzip
import io
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from storage.tabular import TableError, read_open_table
from storage.tabular_json import json_rows, table_of


@pytest.mark.parametrize(
    ("values", "dtype", "expected"),
    [
        ([1, 2], "int64", [1, 2]),
        ([1, None], "float64", [1.0, None]),
        ([1, 2.5], "float64", [1.0, 2.5]),
        ([Decimal("1.5"), 2], "float64", [1.5, 2.0]),
        ([True, False], "bool", [True, False]),
        (["007", None], "str", ["007", None]),
        ([1, "a", True], "str", ["1", "a", "true"]),
        ([True, 1], "str", ["true", "1"]),
        ([2**70], "str", [str(2**70)]),
        ([2**60 + 1, 0.5], "str", [str(2**60 + 1), "0.5"]),
        ([None], "float64", [None]),
        (["\ud800"], "str", ["?"]),
        ([datetime(2026, 1, 1, tzinfo=UTC)], "datetime64[us, UTC]", ["2026-01-01 00:00:00+00:00"]),
        ([date(2026, 1, 1)], "datetime64[us]", ["2026-01-01 00:00:00"]),
    ],
)
def test_a_column_has_the_type_of_all_its_values(
    values: list[Any], dtype: str, expected: list[Any]
) -> None:
    frame = table_of([{"a": value} for value in values]).to_pandas()
    assert str(frame["a"].dtype) == dtype
    found = [None if value != value or value is None else value for value in frame["a"]]
    assert [str(v) for v in found] == [str(v) for v in expected]


def test_columns_come_in_order_of_first_sight_and_what_is_absent_is_missing() -> None:
    table = table_of([{"b": 1}, {"a": 2, "b": 3}])
    assert table.to_pylist() == [{"b": 1, "a": None}, {"b": 3, "a": 2}]


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.jsonl.gz"])
def test_json_lines_are_read_and_blank_lines_passed_over(name: str) -> None:
    content = b'\xef\xbb\xbf{"a": 1}\r\n\n{"a": 2, "b": "x"}\n'
    content = gzip.compress(content, mtime=0) if name.endswith("gz") else content
    frame = read_open_table(io.BytesIO(content), name)
    assert frame["a"].tolist() == [1, 2]
    assert frame["b"].tolist()[1] == "x"


@pytest.mark.parametrize(
    ("content", "code", "said"),
    [
        (b"", "no_rows", "found no rows"),
        (b'{"a": 1}\n{"a": ', "not_json", "line 2: not valid JSON"),
        (b'{"a": 1}\n[1]', "no_object", "line 2: found a list; expected an object"),
        (b'{"a": {"b": 1}}', "nested", "'a' holds an object"),
        (b'{"a": 1, "a": 2}', "not_json", "a key stands twice"),
        (b'{"a": Infinity}', "not_json", "found Infinity"),
        (b'{"a": 1}\n\xe9', "encoding", "line 2"),
        (b"<!doctype html>", "html", "a web page"),
        (b'{"a":' * 100_000, "nested", "too deeply"),
    ],
)
def test_a_damaged_file_of_json_lines_is_refused(content: bytes, code: str, said: str) -> None:
    with pytest.raises(TableError, match=said) as found:
        read_open_table(io.BytesIO(content), "rows.jsonl")
    assert found.value.code == code


def test_a_place_that_is_not_there_is_named() -> None:
    with pytest.raises(TableError, match=r"found the keys items where 'data.rows' needs 'data'"):
        json_rows(b'{"items": []}', "x", "data.rows")
    with pytest.raises(TableError, match="found null at 'rows'; expected a list"):
        json_rows(b'{"rows": null}', "x", "rows")
