"""The schema of a problem: from its file, or kept from its first batch."""

from __future__ import annotations

from dataclasses import replace

from sqlalchemy import Engine

from learning.problem import Feature, Problem
from learning.rows import Schema
from storage.database import writing
from storage.schemas import keep_schema, read_schema, schema_of

OPEN = Problem(name="demo", target="y")
TOLD = Schema("y", "binary", (Feature(name="a [K]", minimum=0.0),), ("no", "yes"))


def test_a_problem_that_leaves_something_open_has_no_schema_before_its_first_batch(
    engine: Engine,
) -> None:
    assert read_schema(engine, OPEN) is None


def test_the_first_schema_stays(engine: Engine) -> None:
    for schema in (TOLD, replace(TOLD, classes=("other", "ones"))):
        with writing(engine) as db:
            keep_schema(db, "demo", schema)
    assert read_schema(engine, OPEN) == TOLD


def test_what_the_file_spells_out_wins_over_what_was_kept(engine: Engine) -> None:
    with writing(engine) as db:
        keep_schema(db, "demo", TOLD)
    spelled = OPEN.model_copy(update={"task": "regression", "features": (Feature(name="b"),)})
    assert read_schema(engine, spelled) == Schema("y", "regression", (Feature(name="b"),))


def test_the_positive_class_comes_last() -> None:
    fields = {"name": "demo", "target": "y", "task": "binary", "features": [{"name": "a"}]}
    classes = {"classes": ["bad", "good"]}
    assert schema_of(Problem.model_validate({**fields, **classes})).classes == ("bad", "good")
    chosen = Problem.model_validate({**fields, **classes, "positive_class": "bad"})
    assert schema_of(chosen).classes == ("good", "bad")
