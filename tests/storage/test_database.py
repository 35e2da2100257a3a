from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from sqlalchemy import insert, inspect, select
from sqlalchemy.engine import Engine
from sqlalchemy.exc import StatementError

from storage.database import StorageError, dump_json, open_engine, reading, upgrade, writing
from storage.tables import metadata, schemas

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def _insert(engine: Engine, problem: str, created_at: datetime = NOON) -> None:
    with writing(engine) as connection:
        connection.execute(
            insert(schemas).values(problem=problem, schema={}, created_at=created_at)
        )


def test_migrated_tables_are_the_declared_ones(engine: Engine) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": False})
        assert compare_metadata(context, metadata) == []


def test_migrating_twice_changes_nothing(database_url: str, engine: Engine) -> None:
    _insert(engine, "kept")
    before = inspect(engine).get_table_names()
    upgrade(database_url)
    assert inspect(engine).get_table_names() == before
    with reading(engine) as connection:
        assert connection.execute(select(schemas.c.problem)).scalars().all() == ["kept"]


def test_a_failed_transaction_leaves_nothing(engine: Engine) -> None:
    def write_and_fail() -> None:
        with writing(engine) as connection:
            connection.execute(insert(schemas).values(problem="a", schema={}, created_at=NOON))
            raise KeyError("stop")

    with pytest.raises(KeyError):
        write_and_fail()
    with reading(engine) as connection:
        assert connection.execute(select(schemas)).all() == []


def test_times_come_back_as_aware_utc(engine: Engine) -> None:
    berlin = timezone(timedelta(hours=1))
    _insert(engine, "a", datetime(2026, 3, 1, 13, tzinfo=berlin))
    with reading(engine) as connection:
        found = connection.execute(select(schemas.c.created_at)).scalar_one()
    assert found == NOON
    assert found.utcoffset() == timedelta(0)


def test_a_time_without_a_zone_is_refused(engine: Engine) -> None:
    with pytest.raises(StatementError, match="without a zone"):
        _insert(engine, "a", datetime(2026, 3, 1))  # noqa: DTZ001


def test_json_is_strict_and_nan_becomes_null() -> None:
    assert dump_json({"a": float("nan"), "b": (1, float("inf"))}) == '{"a":null,"b":[1,null]}'


def test_another_kind_of_database_is_refused_by_name() -> None:
    with pytest.raises(StorageError, match="found 'mysql'; expected sqlite"):
        open_engine("mysql://nowhere/db")
