"""The schema of a problem: from its file, or what the first batch told, kept from then on."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from sqlalchemy import Connection, select
from sqlalchemy.engine import Engine

from learning.problem import Feature, Problem
from learning.rows import Schema
from storage.database import insert_missing, reading
from storage.tables import schemas


def read_schema(engine: Engine, problem: Problem) -> Schema | None:
    """The problem's schema, or None while its file leaves open what no batch has told yet."""
    try:
        return schema_of(problem)
    except ValueError:
        pass
    with reading(engine) as connection:
        found = connection.execute(
            select(schemas.c.schema).where(schemas.c.problem == problem.name)
        ).scalar_one_or_none()
    if found is None:
        return None
    features = tuple(Feature(**feature) for feature in found["features"])
    return Schema(problem.target, found["task"], features, tuple(found["classes"]))


def schema_of(problem: Problem) -> Schema:
    """The schema that a problem spells out, its positive class last.

    Raises ValueError when something still has to be inferred from data.
    """
    schema = Schema.of(problem)
    positive = problem.positive_class
    if schema.task != "binary" or positive is None:
        return schema
    others = tuple(name for name in schema.classes if name != positive)
    return replace(schema, classes=(*others, positive))


def keep_schema(connection: Connection, problem: str, schema: Schema) -> None:
    """Keep what was inferred; the first schema stays."""
    content = {
        "task": schema.task,
        "classes": list(schema.classes),
        "features": [feature.model_dump() for feature in schema.features],
    }
    row = {"problem": problem, "schema": content, "created_at": datetime.now(UTC)}
    insert_missing(connection, schemas, row, ("problem",))
