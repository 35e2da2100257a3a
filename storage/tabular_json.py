"""Rows in JSON, and any rows of plain values as a table of typed columns."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any, NoReturn

import pyarrow as pa

from learning.problem import label_text
from storage.tabular_error import TableError

Rows = list[dict[str, Any]]
EXACT_IN_FLOAT = 2**53
_HTML = ("<!doctype html", "<html", "<?xml")


def json_lines(content: bytes, name: str) -> Rows:
    """The rows of JSON lines: one object a line; blank lines are passed over.

    Raises TableError naming the line.
    """
    rows = []
    for number, line in enumerate(json_text(content, name).split("\n"), 1):
        if line.strip():
            where = f"{name}: line {number}"
            rows.append(_row(parse_json(line, where), where))
    if not rows:
        raise TableError("no_rows", f"{name}: found no rows; expected one JSON object a line")
    return rows


def json_rows(content: bytes, name: str, place: str = "") -> Rows:
    """The rows of a JSON document: a list of objects, or the one at ``place`` (``data.items``).

    An empty list is no error. Raises TableError.
    """
    found = parse_json(json_text(content, name), name)
    for key in place.split(".") if place else ():
        if not isinstance(found, dict) or key not in found:
            known = f"the keys {', '.join(found)}" if isinstance(found, dict) else _kind(found)
            raise TableError("no_list", f"{name}: found {known} where {place!r} needs {key!r}")
        found = found[key]
    if not isinstance(found, list):
        at = f" at {place!r}" if place else ""
        raise TableError("no_list", f"{name}: found {_kind(found)}{at}; expected a list of rows")
    return [_row(row, f"{name}: row {number}") for number, row in enumerate(found, 1)]


def json_text(content: bytes, name: str) -> str:
    """The text of a document; raises TableError for what is no UTF-8, or a web page."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise TableError("encoding", f"{name}: line {line}: found what is not UTF-8") from error
    if text[:200].lstrip().lower().startswith(_HTML):
        raise TableError("html", f"{name}: found a web page; expected JSON")
    return text


def parse_json(text: str, where: str) -> Any:
    """Strict JSON: no NaN, no key twice, no endless nesting. Raises TableError."""
    try:
        return json.loads(text, object_pairs_hook=_no_twins, parse_constant=_no_constant)
    except RecursionError as error:
        raise TableError("nested", f"{where}: nested too deeply; expected plain rows") from error
    except ValueError as error:
        raise TableError("not_json", f"{where}: not valid JSON: {error}") from error


def _no_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice in one object")
    return found


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"found {name}; expected null for what is not known")


def _row(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise TableError("no_object", f"{where}: found {_kind(value)}; expected an object")
    for key, cell in value.items():
        if isinstance(cell, dict | list):
            raise TableError(
                "nested", f"{where}: {key!r} holds {_kind(cell)}; expected one plain value"
            )
    return value


def _kind(value: Any) -> str:
    kinds = {dict: "an object", list: "a list", str: "text", bool: "a truth", type(None): "null"}
    return kinds.get(type(value), "a number")


def table_of(rows: Sequence[dict[str, Any]]) -> pa.Table:
    """Rows of plain values as a table, columns in order of first sight, what is absent null.

    Whole numbers become int64, others and decimals float64, aware times UTC; a column of mixed
    kinds, or of numbers that float64 would round, becomes text.
    """
    names = list(dict.fromkeys(name for row in rows for name in row))
    columns = [_column([row.get(name) for row in rows]) for name in names]
    return pa.Table.from_arrays(columns, names=names)


def _column(values: list[Any]) -> pa.Array:
    present = [value for value in values if value is not None]
    kind = _arrow_kind(present)
    if kind is None:
        texts = [None if value is None else label_text(value) for value in values]
        return pa.array([_storable(text) for text in texts], pa.large_string())
    if kind == pa.float64():
        values = [None if value is None else float(value) for value in values]
    found = pa.array(values, kind)
    return found.cast(pa.timestamp("us")) if kind == pa.date32() else found


def _storable(text: str | None) -> str | None:
    """Text without half of a surrogate pair, which JSON may hold and no file can."""
    return None if text is None else text.encode("utf-8", "replace").decode("utf-8")


def _arrow_kind(present: Sequence[Any]) -> pa.DataType | None:
    """The type of a column by what is in it; None for text."""
    if not present:
        return pa.float64()
    if _all(present, bool):
        return pa.bool_()
    if _all(present, int) and not any(isinstance(value, bool) for value in present):
        fits = all(-(2**63) <= value < 2**63 for value in present)
        return pa.int64() if fits else None
    if _all(present, int | float | Decimal) and not any(_is_rounded(value) for value in present):
        return pa.float64()
    if _all(present, datetime) and len({value.tzinfo is None for value in present}) == 1:
        return pa.timestamp("us", tz=None if present[0].tzinfo is None else "UTC")
    if _all(present, date) and not any(isinstance(value, datetime) for value in present):
        return pa.date32()
    return None


def _all(values: Iterable[Any], kinds: Any) -> bool:
    return all(isinstance(value, kinds) for value in values)


def _is_rounded(value: Any) -> bool:
    """Whether a number among others is a truth, or a whole number that float64 would round."""
    return isinstance(value, bool) or (isinstance(value, int) and abs(value) > EXACT_IN_FLOAT)
