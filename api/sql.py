"""What the API asks of SQL. Its libraries are loaded at the first question, off the event loop:
a server that answers predictions starts without them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from storage.credentials import Token, read_tokens, sqlite_path
from storage.outcomes import Outcome
from storage.records import Label
from storage.values import Facts

if TYPE_CHECKING:
    from sqlalchemy import Engine


def load() -> None:
    """Load the libraries that every question needs."""
    from storage import facts, predictions

    _ = facts, predictions


def open_engine(url: str) -> Engine:
    """The database, as `storage.database.open_engine` has it, with bounded patience."""
    from storage import database

    return database.open_engine(database.bounded_url(url))


def find_answers(
    engine: Engine, problem: str, prediction_ids: Sequence[str]
) -> dict[str, dict[str, Any]]:
    """The stored answers of those of these predictions that SQL knows, by their ids."""
    from storage import predictions

    return predictions.find_answers(engine, problem, prediction_ids)


def find_prediction(engine: Engine, problem: str, prediction_id: str) -> dict[str, Any] | None:
    """A stored prediction's columns, or None when there is no such prediction."""
    from storage import predictions

    return predictions.find_prediction(engine, problem, prediction_id)


def find_feedback(engine: Engine, problem: str, prediction_id: str) -> dict[str, Any] | None:
    """The feedback row of a prediction, or None before any."""
    from storage import predictions

    return predictions.find_feedback(engine, problem, prediction_id)


def find_known(
    engine: Engine, problem: str, prediction_ids: Sequence[str]
) -> tuple[dict[str, Outcome], dict[str, Label]]:
    """Those of these predictions that are stored, and the labels already stored for them."""
    from storage import predictions

    return predictions.find_known(engine, problem, prediction_ids)


def find_bundle(engine: Engine, problem: str, version: str) -> str | None:
    """The name of a version's bundle; None when no such version is known, or it has none."""
    if not version.isdecimal():
        return None
    from storage.database import reading
    from storage.models import find_version

    with reading(engine) as connection:
        row = find_version(connection, problem, int(version))
    return None if row is None else row.bundle


def generator_watermark(engine: Engine, problem: str) -> int:
    """How many rows of its generator a problem has."""
    from storage.batches import watermark
    from storage.database import reading

    with reading(engine) as connection:
        return watermark(connection, problem, "generator")


def read_facts(engine: Engine, problems: Sequence[str]) -> dict[str, Facts]:
    """What the loop last wrote of each problem."""
    from storage import facts

    return facts.read_facts(engine, problems)


def latest_drift(engine: Engine, problem: str) -> dict[str, Any] | None:
    """The newest drift check of a problem, or None before the first."""
    from storage import facts

    return facts.latest_drift(engine, problem)


def load_tokens(url: str, engine: Callable[[], Engine]) -> tuple[Token, ...]:
    """All stored tokens. An SQLite file is read by itself: every request needs them."""
    path = sqlite_path(url)
    if path is not None:
        return read_tokens(path)
    from storage import tokens

    return tokens.load_tokens(engine())
