"""A home folder with a past: really trained and watched, then with a longer history in SQL."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import Connection, insert, select

from settings import Settings
from storage import rollouts
from storage.database import open_engine, reading, writing
from storage.tables import (
    alerts,
    batches,
    decisions,
    drift_results,
    models,
    performance_estimates,
    performance_metrics,
    quarantine,
    releases,
    source_failures,
)
from storage.tokens import create_token
from tasks import drift_report
from tests.factories import START, bootstrap, drop, serve_rows, small_rows, small_settings, tick

N_CHECKS = 24
METRIC = "roc_auc"


def full_home(home: Path, **changes: Any) -> Settings:
    """Settings of a home whose small problem was promoted twice, drifted, and has open troubles."""
    settings = small_settings(home, **changes)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(drift_report, "draw", lambda _request: "<html><p>drawn</p></html>")
        bootstrap(settings)
        serve_rows(settings, small_rows(400, 150), "1")
        tick(settings, 550)
        serve_rows(settings, small_rows(550, 350, turned=True), "1")
        tick(settings, 900)
        some = small_rows(900, 30, turned=True)
        some.loc[:7, "Air temperature [K]"] = -5.0
        drop(settings, some, "some.csv")
        tick(settings, 930)
    engine = open_engine(settings.sql_url)
    with writing(engine) as connection:
        lengthen(connection, "small")
    engine.dispose()
    return settings


def lengthen(connection: Connection, problem: str, n: int = N_CHECKS) -> None:
    """Give the newest check, measurement and verdict a past of ``n`` of their like."""
    chance = np.random.default_rng(5)
    for table in (drift_results, performance_metrics):
        row = dict(_newest(connection, table, problem))
        del row["id"]
        for place in range(n):
            when = START + timedelta(minutes=940 + 10 * place)
            values = {**row, "run_id": f"past-{place}", "clock": when}
            if table is drift_results:
                values |= _check(row, chance, place)
            else:
                values |= _measurement(row, chance, place)
            connection.execute(insert(table).values(values))
            if table is performance_metrics:
                connection.execute(
                    insert(performance_estimates).values(_estimate(values, problem, place))
                )
    _troubles(connection, problem)


def _newest(connection: Connection, table: Any, problem: str) -> Any:
    query = select(table).where(table.c.problem == problem).order_by(table.c.id.desc()).limit(1)
    if table is performance_metrics:
        query = query.where(table.c.n_rows > 0)
    return connection.execute(query).mappings().one()


def _check(row: dict[str, Any], chance: np.random.Generator, place: int) -> dict[str, Any]:
    features = []
    for one in row["features"]:
        is_drifted = bool(place > 14 and one["kind"] == "numeric")
        effect = float(chance.uniform(0.3, 0.5) if is_drifted else chance.uniform(0.0, 0.12))
        p = 1e-9 if is_drifted else float(chance.uniform(0.2, 1.0))
        kind = one["test"] or "KS"
        told = {"effect": effect, "is_drifted": is_drifted, "p_adjusted": p, "test": kind}
        features.append({**one, **told, "not_testable": None})
    share = sum(one["is_drifted"] for one in features) / len(features)
    n_drifted = sum(one["is_drifted"] for one in features)
    verdict = "drift_share 0.67 > 0.30" if share else "drift_share 0.00 ≤ 0.30"
    return {
        "features": features,
        "drift_share": share,
        "is_drifted": share > 0.3,
        "reason": f"{verdict}: {n_drifted} of {len(features)} features",
    }


def _measurement(row: dict[str, Any], chance: np.random.Generator, place: int) -> dict[str, Any]:
    value = float(0.86 - 0.012 * max(0, place - 12) + chance.normal(0, 0.008))
    rivals = [{**one, "value": 0.5 + 0.08 * p} for p, one in enumerate(row["rivals"])]
    return {
        "metric": METRIC,
        "value": value,
        "low": value - 0.04,
        "high": value + 0.04,
        "floor": 0.75,
        "is_below_floor": value < 0.75,
        "rivals": rivals,
        "slices": [
            {
                "name": f"plan {name}",
                "value": value + off,
                "low": value + off - 0.07,
                "high": value + off + 0.06,
                "n_rows": 50,
                "is_below_floor": value + off < 0.75,
            }
            for name, off in (("basic", 0.05), ("pro", -0.05))
        ],
        "reason": f"{METRIC} {value:.3f} [{value - 0.04:.3f}, {value + 0.04:.3f}] on 100 labels",
    }


def _estimate(measured: dict[str, Any], problem: str, place: int) -> dict[str, Any]:
    value, realised = measured["value"] + 0.01, measured["value"]
    common = ("run_id", "model_version", "metric", "floor", "n_rows", "clock")
    return {
        **{name: measured[name] for name in common},
        "problem": problem,
        "value": value,
        "low": value - 0.05,
        "high": value + (0.05 if place % 5 else -0.02),
        "is_below_floor": False,
        "reason": f"estimated {METRIC} {value:.3f}",
        "oldest_id": 1,
        "newest_id": 100,
        "realised": realised,
        "realised_rows": 90,
        "error": realised - value,
        "is_covered": bool(place % 5),
        "estimated_at": datetime.now(UTC),
        "settled_at": datetime.now(UTC),
    }


def _troubles(connection: Connection, problem: str) -> None:
    """A refused challenger, an open incident, a source that fails."""
    now = datetime.now(UTC)
    checks = [
        {"name": "rows", "passed": True, "text": "120 holdout rows, required ≥ 30"},
        {"name": "parity", "passed": True, "text": "ONNX differs by 1.2e-07 at most"},
        {"name": "gain", "passed": False, "text": "roc_auc gain over champion -0.004"},
    ]
    reason = "refused: roc_auc gain over champion -0.004 [-0.012, +0.003] on 120 rows"
    connection.execute(
        insert(models).values(
            problem=problem, version=90, run_id="run-90", state="refused", metrics={},
            reason=reason, clock=now, trained_at=now,
        )
    )  # fmt: skip
    connection.execute(
        insert(decisions).values(
            run_id="run-90", problem=problem, kind="gate", go=False, reason=reason, clock=now,
            evidence={"version": 90, "checks": checks, "gain": -0.004}, decided_at=now,
        )
    )  # fmt: skip
    connection.execute(
        insert(alerts).values(
            event_id="incident-1", problem=problem, kind="drift_found", severity="warning",
            title="Inputs drifted: 2 of 3 features", fields={}, incident="drift", phase="opened",
            text="Air temperature [K] moved (KS 0.41).\nTo do: look at *what* changed.",
            level=0.67, repeats=3, repeat_ids=[], state="sent", clock=now,
            created_at=now - timedelta(hours=2),
        )
    )  # fmt: skip
    connection.execute(
        insert(source_failures).values(
            problem=problem, source="inbox", reason="found no such folder", since=now
        )
    )


def begin_stages(settings: Settings, *stages: str) -> None:
    """Let version 3 be tried beside version 2: each stage but the last one is over."""
    engine = open_engine(settings.sql_url)
    with writing(engine) as connection:
        for place, stage in enumerate(stages):
            given = 0.25 if stage == "canary" else 0.0
            pair = (3, "c" * 64), (2, "b" * 64)
            if place:
                before = stages[place - 1 : place]
                rollouts.end_stages(connection, "small", before, "passed", "it held", START)
            rollouts.begin_stage(
                connection, "small", stage, 40 + place, *pair, given, f"{stage}: 12 of 60 rows",
                START,
            )  # fmt: skip
    engine.dispose()


def token_of(settings: Settings, *scopes: str) -> str:
    """A new token's text."""
    engine = open_engine(settings.sql_url)
    _, text = create_token(engine, scopes, "tests")
    engine.dispose()
    return text


def counted(settings: Settings) -> dict[str, int]:
    """Rows of the tables that pages are about."""
    engine = open_engine(settings.sql_url)
    tables = (models, releases, batches, quarantine, drift_results, performance_metrics)
    with reading(engine) as connection:
        found = {t.name: len(connection.execute(select(t)).all()) for t in tables}
    engine.dispose()
    return found
