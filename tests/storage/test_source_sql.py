"""Queries of somebody's database: only reading, from the cursor on, for so long."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, text

from learning.cursors import Position, advance
from learning.sources import SqlSource
from storage.source_errors import SourceDownError, SourceError
from storage.source_sql import read_rows


def source(**fields: Any) -> SqlSource:
    values = {"kind": "sql", "url_env": "ORDERS", "query": "SELECT * FROM orders", "cursor": "id"}
    return SqlSource.model_validate({**values, **fields})


def run(url: str, *statements: str) -> None:
    engine = create_engine(url)
    with engine.begin() as connection:
        for statement in statements:
            connection.execute(text(statement))
    engine.dispose()


@pytest.fixture
def orders(database_url: str) -> str:
    """A database with five orders, two of them at one time, on each kind of server."""
    kind = "TIMESTAMPTZ" if database_url.startswith("postgresql") else "TEXT"
    values = ", ".join(
        f"({place}, {place}.5, '2026-01-01 00:0{min(place, 3)}:00+00')" for place in range(1, 5)
    )
    run(
        database_url,
        f'CREATE TABLE orders (id INTEGER, "amount %" FLOAT, at {kind})',
        f"INSERT INTO orders VALUES {values}, (NULL, 9, NULL)",
    )
    return database_url


def ids(rows: list[dict[str, Any]]) -> list[int]:
    return [row["id"] for row in rows]


def test_pages_follow_the_cursor_and_skip_rows_without_it(orders: str) -> None:
    asked = source(page_rows=3)
    first = read_rows(asked, orders, None)
    assert ids(first) == [1, 2, 3]
    assert first[0]["amount %"] == 1.5
    new, behind = advance(first, "id", None)
    assert (ids(new), behind) == ([1, 2, 3], Position(3, behind.marks if behind else ()))
    new, behind = advance(read_rows(asked, orders, behind), "id", behind)
    assert ids(new) == [4]
    assert advance(read_rows(asked, orders, behind), "id", behind) == ([], behind)


def test_rows_of_one_time_that_a_page_divides_or_that_come_later_are_all_read(orders: str) -> None:
    asked, behind, seen = source(cursor="at", page_rows=1), None, []
    for _ in range(4):
        position = behind and Position.of_json(behind.as_json())
        new, behind = advance(read_rows(asked, orders, position), "at", position)
        seen += ids(new)
    assert sorted(seen) == [1, 2, 3, 4]
    run(orders, "INSERT INTO orders VALUES (5, 5.5, '2026-01-01 00:03:00+00')")
    new, behind = advance(read_rows(asked, orders, behind), "at", behind)
    assert ids(new) == [5]
    assert advance(read_rows(asked, orders, behind), "at", behind)[0] == []


def test_a_time_of_postgresql_goes_through_json(orders: str) -> None:
    if not orders.startswith("postgresql"):
        pytest.skip("SQLite has no times")
    _, behind = advance(read_rows(source(cursor="at"), orders, None), "at", None)
    assert behind is not None
    assert behind.value == datetime(2026, 1, 1, 0, 3, tzinfo=UTC)
    assert Position.of_json(behind.as_json()) == behind


def test_a_query_may_join_filter_and_end_in_a_semicolon(orders: str) -> None:
    query = "WITH big AS (SELECT id AS n, at FROM orders WHERE id > 2) SELECT n FROM big;"
    found = read_rows(source(query=query, cursor="n"), orders, Position(3, ()))
    assert found == [{"n": 3}, {"n": 4}]


def test_nothing_can_be_written(orders: str) -> None:
    writes = "DELETE FROM orders RETURNING id"
    wrapped = f"WITH gone AS ({writes}) SELECT id FROM gone"
    for query in (writes, wrapped, "SELECT 1 AS id) AS a; DROP TABLE orders; --"):
        with pytest.raises(SourceError):
            read_rows(source(query=query), orders, None)
    assert len(read_rows(source(), orders, None)) == 4


def test_a_value_is_bound_and_never_part_of_the_statement(orders: str) -> None:
    hostile = Position("'; DROP TABLE orders; --", ())
    text_cursor = source(query="SELECT CAST(id AS VARCHAR(9)) AS id FROM orders")
    assert read_rows(text_cursor, orders, hostile) is not None
    assert len(read_rows(source(), orders, None)) == 4


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"query": "SELECT * FROM nowhere"}, "refuses the query"),
        ({"cursor": "nothing"}, "refuses the query"),
        ({"query": "SELEC"}, "refuses the query"),
        ({"query": "SELECT * FROM orders WHERE id > :id"}, "required for bind parameter"),
    ],
)
def test_a_wrong_query_is_not_tried_again(orders: str, fields: Any, said: str) -> None:
    with pytest.raises(SourceError, match=said) as found:
        read_rows(source(**fields), orders, None)
    assert not isinstance(found.value, SourceDownError)


def test_a_query_that_takes_too_long_is_ended(orders: str) -> None:
    counting = (
        "WITH RECURSIVE n(id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM n WHERE id < 100000000) "
        "SELECT max(id) AS id FROM n"
    )
    with pytest.raises(SourceError, match=r"took more than 0.2 s") as found:
        read_rows(source(query=counting, timeout_seconds=0.2), orders, None)
    assert found.value.code == "timeout"


def test_a_database_that_is_away_or_locked_is_worth_another_try(tmp_path: Path) -> None:
    away = ["postgresql://u:hidden@127.0.0.1:9/x", f"sqlite:///{tmp_path}/none.db"]
    for url in away:
        with pytest.raises(SourceDownError, match="does not answer") as found:
            read_rows(source(), url, None)
        assert "hidden" not in str(found.value)
    assert not (tmp_path / "none.db").exists()
    path = f"sqlite:///{tmp_path}/locked.db"
    run(path, "CREATE TABLE orders (id INTEGER)")
    engine = create_engine(path)
    with engine.connect() as connection:
        connection.exec_driver_sql("BEGIN EXCLUSIVE")
        with pytest.raises(SourceDownError, match="locked"):
            read_rows(source(timeout_seconds=0.1), path, None)
    engine.dispose()


@pytest.mark.parametrize("url", ["hidden", "mysql://u:hidden@h/x"])
def test_a_url_that_will_not_do_is_not_repeated(url: str) -> None:
    with pytest.raises(SourceError, match=r"^ORDERS: found") as found:
        read_rows(source(), url, None)
    assert "hidden" not in str(found.value)
