"""Makes a small problem, its rows and its runs, so that a test of the loop takes a second."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pydantic import SecretStr
from sqlalchemy import Table, func, select

from flows.continual import _tick
from flows.each import for_each
from learning.problem import Problem
from settings import Settings
from storage.database import open_engine, reading, upgrade
from storage.predictions import store_records
from storage.problems import write_problem
from storage.records import FeedbackItem, FeedbackRecord, PredictionRecord
from tasks.ingest_inbox import inbox_folder
from tasks.run import Run, loop_run

START = datetime(2026, 1, 1, tzinfo=UTC)
NOWHERE = "http://127.0.0.1:9"  # the discard port: nobody listens
FEATURES = ("Air temperature [K]", "x2", "plan")


def small_problem(**changes: Any) -> Problem:
    """Two numeric features and a categorical one; a linear model learns it from 200 rows."""
    fields: dict[str, Any] = {
        "name": "small",
        "target": "label",
        "task": "binary",
        "classes": ["no", "yes"],
        "event_time": "when",
        "key": "row_id",
        "features": [
            {"name": "Air temperature [K]", "minimum": 0},
            {"name": "x2"},
            {"name": "plan", "kind": "categorical", "categories": ["basic", "pro"]},
        ],
        "windows": {
            "bootstrap_rows": 200,
            "current_rows": 100,
            "reference_rows": 200,
            "holdout_share": 0.3,
        },
        "drift": {"min_rows": 50},
        "performance": {"min_rows": 50, "window_rows": 100},
        "retrain": {
            "min_new_rows": 50,
            "cooldown": "0s",
            "daily_budget": 50,
            "circuit_pause": "0s",
            "violations": 1,
            "growth": None,
        },
        "search": {
            "models": ["linear"],
            "windows": ["all", "newest"],
            "folds": 1,
            "budget_seconds": 5,
        },
        "gate": {"min_rows": 30},
    }
    return Problem.model_validate({**fields, **changes})


def small_rows(first: int, n: int, turned: bool = False) -> pd.DataFrame:
    """Rows ``first`` to ``first + n``, one a minute; ``turned``: other inputs, another concept."""
    chance = np.random.default_rng([7, first, n, turned])
    warmth, x2 = chance.normal(size=n), chance.normal(size=n)
    score = 2.0 * warmth - 1.0 * x2
    if turned:
        warmth = warmth + 1.5
        score = -2.0 * (warmth - 1.5) + 1.5 * x2
    happens = chance.random(n) < 1 / (1 + np.exp(-score))
    return pd.DataFrame(
        {
            "row_id": [f"row-{index:06d}" for index in range(first, first + n)],
            "when": [START + timedelta(minutes=index) for index in range(first, first + n)],
            "Air temperature [K]": 300 + 5 * warmth,
            "x2": x2,
            "plan": np.where(chance.random(n) < 0.5, "basic", "pro"),
            "label": np.where(happens, "yes", "no"),
        }
    )


def small_settings(
    home: Path, database_url: str | None = None, mlflow_uri: str = NOWHERE, **changes: Any
) -> Settings:
    """Settings of a home with the small problem, whose MLflow is away unless a URI is given."""
    settings = Settings(
        _env_file=None,  # type: ignore[call-arg]
        home=home,
        problems=home / "problems",
        active=("small",),
        database_url=None if database_url is None else SecretStr(database_url),
        mlflow_uri=mlflow_uri,
        api_insecure=True,
    )
    write_problem(small_problem(**changes), home / "problems")
    return settings


def drop(settings: Settings, frame: pd.DataFrame, name: str, problem: str = "small") -> Path:
    """A file in the inbox: CSV, CSV.gz or Parquet by its name."""
    folder = inbox_folder(settings.home, problem)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    if name.endswith(".parquet"):
        frame.to_parquet(path, index=False)
    else:
        frame.to_csv(path, index=False)
    return path


def tick(settings: Settings, row: int, problem: str = "small") -> dict[str, Any]:
    """One turn of the loop, without Prefect, when row number ``row`` has just happened."""
    now = START + timedelta(minutes=row)
    result: dict[str, Any] = for_each("continual", problem, now, _tick, settings)[problem]
    return result


@contextmanager
def small_run(settings: Settings, row: int = 0, flow: str = "continual") -> Iterator[Run]:
    """A run of the small problem that holds the lease."""
    with loop_run("small", flow, START + timedelta(minutes=row), settings) as run:
        yield run


def bootstrap(settings: Settings, n: int = 400) -> dict[str, Any]:
    """The first champion, trained on the first ``n`` rows."""
    drop(settings, small_rows(0, n), "history.parquet")
    return tick(settings, n)


def serve_rows(
    settings: Settings, frame: pd.DataFrame, version: str, labels: bool = True
) -> Sequence[str]:
    """Write what the API would: a prediction of each row by ``version``, and its label."""
    ids, records = [], []
    for row in frame.to_dict("records"):
        chance = 0.8 if row["Air temperature [K]"] > 300 else 0.2
        prediction = "yes" if chance > 0.5 else "no"
        ids.append(f"p-{row['row_id']}")
        records.append(
            PredictionRecord(
                "small",
                ids[-1],
                version,
                row["row_id"],
                row["when"],
                [row[name] for name in FEATURES],
                prediction,
                [1 - chance, chance],
                b"{}",
                START,
            )
        )
    upgrade(settings.sql_url)
    engine = open_engine(settings.sql_url)
    store_records(engine, records)
    if labels:
        items = [
            FeedbackItem(prediction_id, label, START)
            for prediction_id, label in zip(ids, frame["label"], strict=True)
        ]
        store_records(engine, [FeedbackRecord("small", items, None, START)])
    engine.dispose()
    return ids


def rows_of(settings: Settings, table: Table) -> list[Any]:
    """All rows of an SQL table."""
    engine = open_engine(settings.sql_url)
    with reading(engine) as connection:
        found = list(connection.execute(select(table).order_by(*table.primary_key)))
    engine.dispose()
    return found


def count(settings: Settings, table: Table) -> int:
    """How many rows an SQL table has."""
    engine = open_engine(settings.sql_url)
    with reading(engine) as connection:
        found = connection.execute(select(func.count()).select_from(table)).scalar_one()
    engine.dispose()
    return int(found)
