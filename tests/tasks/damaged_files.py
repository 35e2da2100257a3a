"""Files whose bytes are not what they should be."""

from __future__ import annotations

import gzip
import io
import zipfile
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from tests.factories import START
from tests.tasks.damaged import Kept, N, Outcome, Refused, text


def parquet(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink)
    return sink.getvalue()


def arrow(frame: pd.DataFrame, **columns: Any) -> bytes:
    """A frame as Parquet, some columns given as Arrow arrays."""
    table = pa.Table.from_pandas(frame, preserve_index=False)
    for name, values in columns.items():
        place = table.column_names.index(name)
        table = table.set_column(place, name, values)
    return parquet(table)


def zipped(content: bytes) -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as archive:
        archive.writestr("xl/workbook.xml", content)
    return sink.getvalue()


def lines(frame: pd.DataFrame) -> str:
    """A frame as JSON lines."""
    return str(frame.to_json(orient="records", lines=True))


def flipped(content: bytes, place: int) -> bytes:
    changed = bytearray(content)
    changed[place] ^= 0xFF
    return bytes(changed)


def lines_with(content: str, place: int, line: str) -> str:
    lines = content.split("\n")
    return "\n".join([*lines[:place], line, *lines[place:]])


Bytes = Callable[[pd.DataFrame], bytes]

# What is wrong with the bytes: suffix, how they are made, what becomes of them.
FILES: dict[str, tuple[str, Bytes, Outcome]] = {
    "empty": ("csv", lambda f: b"", Refused("the file is empty")),
    "blank lines only": ("csv", lambda f: b"\n\r\n\n", Refused("the file is empty")),
    "header only": ("csv", lambda f: text(f.head(0)).encode(), Refused("no rows below it")),
    "byte order mark": ("csv", lambda f: text(f).encode("utf-8-sig"), Kept()),
    "utf-16": ("csv", lambda f: text(f).encode("utf-16"), Refused("found UTF-16 text")),
    "utf-16 without a mark": ("csv", lambda f: text(f).encode("utf-16-le"), Refused("a NUL byte")),
    "utf-32": ("csv", lambda f: text(f).encode("utf-32"), Refused("found UTF-16 text")),
    "latin-1": (
        "csv",
        lambda f: text(f.assign(plan="größe")).encode("latin-1"),
        Refused("line 2: found the byte 0xf6, which is not UTF-8"),
    ),
    "a NUL byte": (
        "csv",
        lambda f: text(f).replace("20.5", "2\0").encode(),
        Refused("line 2: found a NUL"),
    ),
    "two columns of one name": (
        "csv",
        lambda f: text(f).replace("count", "temp", 1).encode(),
        Refused("the column 'temp' stands twice"),
    ),
    "two columns of one name but for blanks": (
        "csv",
        lambda f: text(f).replace("count", " temp ", 1).encode(),
        Refused("the column 'temp' stands twice"),
    ),
    "a short line": (
        "csv",
        lambda f: (text(f) + "x,1\n").encode(),
        Refused("found 2 fields, too few"),
    ),
    "a long line": ("csv", lambda f: (text(f) + "1,2,3,4,5,6,7,8\n").encode(), Refused("too many")),
    "cut in the middle of a line": ("csv", lambda f: text(f).encode()[:-15], Refused("too few")),
    "a comma as decimal mark, not quoted": (
        "csv",
        lambda f: text(f).replace(".5,", ",5,").encode(),
        Refused("line 2: found 8 fields, too many"),
    ),
    "a trailing comma on each line but the first": (
        "csv",
        lambda f: text(f).replace("no\n", "no,\n").encode(),
        Refused("too many"),
    ),
    "a trailing comma on every line": (
        "csv",
        lambda f: text(f).replace("\n", ",\n").encode(),
        Kept(),
    ),
    "an open quote": (
        "csv",
        lambda f: text(f).replace("basic", '"basic', 1).encode(),
        Refused("is not closed"),
    ),
    "text after a quote": (
        "csv",
        lambda f: text(f).replace("basic", '"basic"x', 1).encode(),
        Refused("line 2: a quoted field is not closed properly"),
    ),
    "semicolons": ("csv", lambda f: text(f).replace(",", ";").encode(), Refused("';' in its name")),
    "tabs": ("csv", lambda f: text(f).replace(",", "\t").encode(), Refused(r"'\t' in its name")),
    "bars": ("csv", lambda f: text(f).replace(",", "|").encode(), Refused("'|' in its name")),
    "a remark above the header": (
        "csv",
        lambda f: ("# exported today\n" + text(f)).encode(),
        Refused("too many; expected 1 as in the header"),
    ),
    "a web page": ("csv", lambda f: b"\n <!DOCTYPE html><html>404</html>", Refused("a web page")),
    "an XML page": ("csv", lambda f: b"<?xml version='1.0'?><e/>", Refused("a web page")),
    "an error in JSON": ("csv", lambda f: b'{"error": "not found"}', Refused("no rows below it")),
    "gzip called csv": (
        "csv",
        lambda f: gzip.compress(text(f).encode(), mtime=0),
        Refused("found gzip data"),
    ),
    "Excel called csv": ("csv", lambda f: zipped(text(f).encode()), Refused("found zip or Excel")),
    "Parquet called csv": ("csv", lambda f: arrow(f), Refused("found Parquet data")),
    "mixed line ends": (
        "csv",
        lambda f: text(f).replace("yes\n", "yes\r\n").encode(),
        Kept(column="_label", values=["no", "yes"] * 12),
    ),
    "old Macintosh line ends": ("csv", lambda f: text(f).replace("\n", "\r").encode(), Kept()),
    "no last line end": ("csv", lambda f: text(f).rstrip("\n").encode(), Kept()),
    "blank lines among rows": ("csv", lambda f: text(f).replace("no\n", "no\n\n").encode(), Kept()),
    "the header again in the middle": (
        "csv",
        lambda f: lines_with(text(f), 9, text(f).split("\n")[0]).encode(),
        Kept(N, {"the header line again": 1}),
    ),
    "a cell of 200 kB": (
        "csv",
        lambda f: text(f).replace("basic", "b" * 200_000, 1).encode(),
        Refused("field larger than field limit"),
    ),
    "csv called gzip": ("csv.gz", lambda f: text(f).encode(), Refused("found no gzip data")),
    "gzip cut short": (
        "csv.gz",
        lambda f: gzip.compress(text(f).encode(), mtime=0)[:-30],
        Refused("ends too early or is damaged"),
    ),
    "gzip with a wrong sum": (
        "csv.gz",
        lambda f: flipped(gzip.compress(text(f).encode(), mtime=0), -6),
        Refused("the gzip data is damaged (CRC check failed"),
    ),
    "gzip of nothing": (
        "csv.gz",
        lambda f: gzip.compress(b"", mtime=0),
        Refused("the file is empty"),
    ),
    "gzip of gzip": (
        "csv.gz",
        lambda f: gzip.compress(gzip.compress(text(f).encode(), mtime=0)),
        Refused("found gzip data"),
    ),
    "gzip with rubbish behind": (
        "csv.gz",
        lambda f: gzip.compress(text(f).encode(), mtime=0) + b"rubbish",
        Refused("damaged"),
    ),
    "a gzip bomb": (
        "csv.gz",
        lambda f: gzip.compress(bytes(80_000_000), 1, mtime=0),
        Refused("more than"),
    ),
    "Parquet cut short": ("parquet", lambda f: arrow(f)[:-40], Refused("no readable Parquet")),
    "Parquet with a damaged page": (
        "parquet",
        lambda f: arrow(f)[:4] + b"\xff" * 400 + arrow(f)[404:],
        Refused("no readable Parquet"),
    ),
    "text called Parquet": ("parquet", lambda f: text(f).encode(), Refused("no readable Parquet")),
    "Parquet without rows": ("parquet", lambda f: arrow(f.head(0)), Refused("found no rows")),
    "Parquet without columns": ("parquet", lambda f: arrow(f[[]]), Refused("found no rows")),
    "Parquet with two columns of one name": (
        "parquet",
        lambda f: parquet(pa.table([[1], [2]], names=["temp", "temp"])),
        Refused("'temp' stands twice"),
    ),
    "a list in Parquet": (
        "parquet",
        lambda f: arrow(f, plan=pa.array([["basic"]] * N)),
        Refused("the column 'plan' holds list"),
    ),
    "a struct in Parquet": (
        "parquet",
        lambda f: arrow(f, plan=pa.array([{"name": "basic"}] * N)),
        Refused("the column 'plan' holds struct"),
    ),
    "decimals in Parquet": (
        "parquet",
        lambda f: arrow(f, temp=pa.array([Decimal("20.50")] * N)),
        Kept(column="temp", values=[20.5] * N),
    ),
    "dictionaries in Parquet": (
        "parquet",
        lambda f: arrow(f, plan=pa.array(["pro"] * N).dictionary_encode()),
        Kept(column="plan", values=["pro"] * N),
    ),
    "bytes instead of text in Parquet": (
        "parquet",
        lambda f: arrow(f, plan=pa.array([b"pro"] * N)),
        Kept(column="plan", values=["pro"] * N),
    ),
    "bytes that are no text in Parquet": (
        "parquet",
        lambda f: arrow(f, plan=pa.array([b"\xff\xfe"] * N)),
        Refused("'plan'"),
    ),
    "times of another zone in Parquet": (
        "parquet",
        lambda f: arrow(f, when=pa.array([START] * N, pa.timestamp("ns", tz="America/New_York"))),
        Kept(column="_event_time", values=[pd.Timestamp(START)] * N),
    ),
    "times without a zone in Parquet": (
        "parquet",
        lambda f: arrow(f, when=pa.array([START.replace(tzinfo=None)] * N, pa.timestamp("ms"))),
        Kept(column="_event_time", values=[pd.Timestamp(START)] * N),
    ),
    "unsigned whole numbers beyond int64 in Parquet": (
        "parquet",
        lambda f: arrow(f, count=pa.array([2**64 - 1] * N, pa.uint64())),
        Kept(column="count", values=[float(2**64)] * N),
    ),
    "NaN and infinity in Parquet": (
        "parquet",
        lambda f: arrow(f, temp=pa.array([float("nan"), float("inf")] + [1.0] * (N - 2))),
        Kept(N - 1, {"temp: not finite": 1}),
    ),
    "blanks around a name in Parquet": (
        "parquet",
        lambda f: arrow(f.rename(columns={"temp": " temp"})),
        Refused("column 'temp' is missing; the nearest column is ' temp'"),
    ),
    "the index of pandas in Parquet": (
        "parquet",
        lambda f: parquet(pa.Table.from_pandas(f.set_index(pd.Index(range(5, 5 + N))))),
        Kept(),
    ),
    "JSON lines": (
        "jsonl",
        lambda f: lines(f).encode(),
        Kept(column="temp", values=[20.5 + row for row in range(N)]),
    ),
    "JSON lines with a mark and other line ends": (
        "jsonl",
        lambda f: lines(f).replace("\n", "\r\n").encode("utf-8-sig"),
        Kept(),
    ),
    "JSON lines cut short": (
        "jsonl",
        lambda f: lines(f).encode()[:-9],
        Refused("line 24: not valid"),
    ),
    "one JSON list instead of lines": (
        "jsonl",
        lambda f: f.to_json(orient="records").encode(),
        Refused("line 1: found a list; expected an object"),
    ),
    "NaN in JSON lines": (
        "jsonl",
        lambda f: lines(f).replace("20.5", "NaN").encode(),
        Refused("line 1: not valid JSON: found NaN"),
    ),
    "a key twice in JSON lines": (
        "jsonl",
        lambda f: lines(f).replace('"count":0', '"temp":0').encode(),
        Refused("line 1: not valid JSON: a key stands twice"),
    ),
    "an object in JSON lines": (
        "jsonl",
        lambda f: lines(f).replace("20.5", '{"celsius":20.5}').encode(),
        Refused("'temp' holds an object"),
    ),
    "JSON nested 5,000 deep": (
        "jsonl",
        lambda f: lines(f).replace("20.5", "[" * 5_000).encode(),
        Refused("line 1"),
    ),
    "a word among numbers in JSON lines": (
        "jsonl",
        lambda f: lines(f).replace("20.5", '"warm"').encode(),
        Kept(N - 1, {"temp: not a number": 1}),
    ),
    "1e400 in JSON lines": (
        "jsonl",
        lambda f: lines(f).replace("20.5", "1e400").encode(),
        Kept(N - 1, {"temp: not finite": 1}),
    ),
    "half of a surrogate in JSON lines": (
        "jsonl",
        lambda f: lines(f).replace('"basic"', '"\\ud800"', 1).encode(),
        Kept(),
    ),
    "a field missing from one JSON line": (
        "jsonl",
        lambda f: lines(f).replace('"count":0,', "").encode(),
        Kept(N - 1, {"count: missing": 1}),
    ),
    "JSON lines in latin-1": (
        "jsonl",
        lambda f: lines(f).replace("basic", "größe").encode("latin-1"),
        Refused("line 1: found what is not UTF-8"),
    ),
    "an empty file of JSON lines": ("jsonl", lambda f: b"\n", Refused("found no rows")),
}
