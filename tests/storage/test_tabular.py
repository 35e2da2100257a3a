"""Files as tables: nothing silently changed, and every broken file refused in one sentence."""

import gzip
import io
import time
from datetime import date
from decimal import Decimal
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.tabular import TableError, read_open_table, read_table


def read(content: str | bytes, name: str = "rows.csv") -> pd.DataFrame:
    data = content.encode() if isinstance(content, str) else content
    return read_open_table(io.BytesIO(data), name)


def parquet(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink)
    return sink.getvalue()


def test_numbers_truths_and_text_are_told_apart_by_column() -> None:
    frame = read("a,b,c,d\n1,1.5,true,x\n-2,1e3,FALSE,7\n")

    assert frame["a"].tolist() == [1, -2]
    assert frame["a"].dtype == "int64"
    assert frame["b"].tolist() == [1.5, 1000.0]
    assert frame["c"].tolist() == [True, False]
    assert frame["d"].tolist() == ["x", "7"]


def test_blank_cells_are_missing() -> None:
    frame = read('a,b,c\n1,,x\n ,2,""\n')

    assert frame["a"].isna().tolist() == [False, True]
    assert frame["b"].tolist()[1] == 2.0
    assert frame["c"].isna().tolist() == [False, True]


def test_words_for_nothing_are_missing_among_numbers_and_text_among_texts() -> None:
    frame = read("number,country\n1,NA\nNA,NL\n")

    assert frame["number"].isna().tolist() == [False, True]
    assert frame["country"].tolist() == ["NA", "NL"]


@pytest.mark.parametrize("code", ["007", "-01", "0x1F", "99999999999999999999", "1,234", "1_000"])
def test_what_would_lose_digits_as_a_number_stays_text(code: str) -> None:
    assert read(f'a,b\n"{code}",1\n5,2\n')["a"].tolist() == [code, "5"]


def test_long_numbers_beside_missing_ones_stay_text() -> None:
    assert read("a,b\n9007199254740993,1\n,2\n")["a"].tolist()[0] == "9007199254740993"


def test_floats_are_read_to_the_last_bit() -> None:
    assert read("a,b\n0.1234567890123456789,1\n")["a"][0] == 0.1234567890123456789


def test_an_empty_column_is_missing_numbers() -> None:
    frame = read("a,b\n1,\n2,\n")

    assert frame["b"].dtype == "float64"
    assert frame["b"].isna().all()


def test_a_byte_order_mark_windows_line_ends_and_quoted_newlines_are_understood() -> None:
    frame = read('\ufeffa,b\r\n"x\r\ny",1\r\n"a ""quoted"" one",2\r\n')

    assert list(frame.columns) == ["a", "b"]
    assert frame["a"].tolist() == ["x\r\ny", 'a "quoted" one']


def test_a_column_without_a_name_is_called_as_pandas_does() -> None:
    assert list(read(",b\n0,1\n").columns) == ["Unnamed: 0", "b"]


@pytest.mark.parametrize(
    ("content", "code", "message"),
    [
        (b"", "empty", "rows.csv: the file is empty"),
        (b"\n\n", "empty", "rows.csv: the file is empty"),
        (b"a,b\n", "no_rows", "found a header line and no rows"),
        (b"a,b\n1,2\n3\n", "ragged", "line 3: found 1 field, too few; expected 2"),
        (b"a,b\n1,2,3\n", "ragged", "line 2: found 3 fields, too many; expected 2"),
        (b'a,b\n"x\ny",2\n3,4,5\n', "ragged", "line 4: found 3 fields"),
        (b"a,b,a\n1,2,3\n", "duplicate_header", "line 1: the column 'a' stands twice"),
        (b"a;b\n1;2\n", "delimiter", "expected columns separated by commas"),
        (b'a,b\n"open,2\n3,4\n', "quotes", "line 2: a quoted field is not closed"),
        ("a,b\n1,é\n".encode("latin-1"), "encoding", "line 2: found the byte 0xe9"),
        ("a,b\n1,2\n".encode("utf-16"), "encoding", "found UTF-16 text"),
        (b"a,b\n1,\x00\n", "nul", "line 2: found a NUL byte"),
        (b"<!DOCTYPE html><html></html>", "html", "found a web page"),
        (b"PAR1....", "not_csv", "found Parquet data"),
        (b"PK\x03\x04....", "not_csv", "found zip or Excel data"),
        (gzip.compress(b"a\n1\n", mtime=0), "not_csv", "found gzip data"),
    ],
)
def test_a_broken_csv_is_refused_with_the_line_and_what_was_found(
    content: bytes, code: str, message: str
) -> None:
    with pytest.raises(TableError, match=message) as caught:
        read(content)
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("content", "name", "code"),
    [
        (b"a,b\n1,2\n", "rows.csv.gz", "not_gzip"),
        (gzip.compress(b"a,b\n" + b"1,2\n" * 500, mtime=0)[:-12], "rows.csv.gz", "truncated"),
        (b"a,b\n1,2\n", "rows.parquet", "not_parquet"),
        (parquet(pa.table({"a": range(100)}))[:-20], "rows.parquet", "not_parquet"),
        (parquet(pa.table({"a": pa.array([], pa.int64())})), "rows.parquet", "no_rows"),
        (parquet(pa.table({"a": [[1, 2]]})), "rows.parquet", "nested"),
        (b"a,b\n1,2\n", "rows.xlsx", "suffix"),
    ],
)
def test_other_broken_files_are_refused(content: bytes, name: str, code: str) -> None:
    with pytest.raises(TableError, match=name) as caught:
        read(content, name)
    assert caught.value.code == code


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TableError, match=r"gone.csv: cannot be read: No such file"):
        read_table(tmp_path / "gone.csv")


def test_parquet_keeps_its_types_with_decimals_and_dictionaries_made_plain() -> None:
    table = pa.table(
        {
            "number": [1, 2],
            "decimal": [Decimal("1.50"), None],
            "kind": pa.array(["x", "y"]).dictionary_encode(),
            "day": [date(2024, 1, 1), date(2024, 1, 2)],
        }
    )

    frame = read(parquet(table), "rows.parquet")

    assert frame["number"].dtype == "int64"
    assert frame["decimal"].dtype == "float64"
    assert frame["kind"].tolist() == ["x", "y"]
    assert frame["day"].tolist() == [date(2024, 1, 1), date(2024, 1, 2)]


@pytest.mark.parametrize("name", ["rows.csv", "rows.csv.gz", "rows.parquet"])
def test_every_kind_of_file_gives_the_same_table(tmp_path: Path, name: str) -> None:
    frame = pd.DataFrame({"a": [1, 2], "b": [0.5, None], "c": ["x", "y"]})
    path = tmp_path / name
    if name.endswith("parquet"):
        frame.to_parquet(path)
    else:
        frame.to_csv(path, index=False)

    pd.testing.assert_frame_equal(read_table(path), frame)


@given(st.lists(st.tuples(st.text("ab,\"\n\r é'", min_size=1), st.integers()), min_size=1))
def test_whatever_pandas_writes_comes_back(rows: list[tuple[str, int]]) -> None:
    # The z keeps a cell from being blank; a lone carriage return ends a line unless it is quoted.
    texts = [f"z{text}" for text, _ in rows]
    numbers = [number % 10**15 for _, number in rows]
    content = pd.DataFrame({"text": texts, "number": numbers}).to_csv(index=False, quoting=2)

    frame = read(content)

    assert frame["text"].tolist() == texts
    assert frame["number"].tolist() == numbers


def test_the_real_files_read_as_pandas_reads_them(shared_data: Path) -> None:
    for path in sorted(shared_data.glob("*.csv.gz")):
        expected = pd.read_csv(
            path, keep_default_na=False, na_values=["", " "], float_precision="round_trip"
        )
        pd.testing.assert_frame_equal(read_table(path), expected)


def test_fifty_thousand_rows_take_no_more_than_a_few_seconds() -> None:
    content = "a,b,c,d,e,f,g,h,i,j\n" + "1,2.5,x,2024-01-01,,true,7,8,9,some text\n" * 50_000

    started = time.process_time()
    frame = read(content)

    assert len(frame) == 50_000
    assert time.process_time() - started < 5


def test_a_small_parquet_file_of_endless_rows_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    content = parquet(pa.table({"a": pa.nulls(1_000_000, pa.int8())}))
    assert len(content) < 10_000
    assert len(read(content, "rows.parquet")) == 1_000_000
    monkeypatch.setattr("storage.tabular.MOST_CELLS", 999_999)
    with pytest.raises(TableError, match="found 1,000,000 rows of 1 columns") as caught:
        read(content, "rows.parquet")
    assert caught.value.code == "too_large"


def test_what_nobody_foresaw_is_a_refusal_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_content: bytes, _name: str) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("storage.tabular._read_csv", fail)
    with pytest.raises(
        TableError, match=r"^rows.csv: reading it failed \(ZeroDivisionError\)"
    ) as no:
        read("a\n1\n")
    assert no.value.code == "unreadable"
