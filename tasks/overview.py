"""What a run leaves last: who serves and why, why nothing was promoted, and where to look on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from loguru import logger
from prefect.context import FlowRunContext
from sqlalchemy import Row

from storage import models, releases, reports
from storage.database import reading
from storage.registry import model_name
from tasks.artifacts import cell, show, show_history, show_image
from tasks.run import Run
from tasks.step import step

N_RELEASES = 20
N_DECISIONS = 5
N_POINTS = 60


def leave_overview(run: Run) -> None:
    """Leave the overview, the champions and the newest measurements; silent without Prefect."""
    if FlowRunContext.get() is not None:
        _leave(run)


@step("leave what a person reads")
def _leave(run: Run) -> None:
    with reading(run.engine) as connection:
        champion = models.champion(connection, run.name)
        history = releases.release_history(connection, run.name, N_RELEASES)
        attempts = models.attempts(connection, run.name, 1)
        asked = reports.decisions_of(connection, run.name, "retrain", N_DECISIONS)
        judged = reports.decisions_of(connection, run.name, "gate", 1)
        measured = reports.performance_until(connection, run.name, datetime.now(UTC), N_POINTS)
    parts = [
        *_champion(champion),
        *last_challenger(attempts, champion, judged, history),
        *_decisions(asked),
        *_links(run, champion),
    ]
    serves = "No model is served yet" if champion is None else f"Version {champion.version} serves"
    about = f"{serves}; why nothing newer does, was a retrain due, and where to look on."
    show(run, "overview", "\n".join(parts), about)
    show_history(run, history)
    _draw(run, measured)


def _champion(champion: Row[Any] | None) -> list[str]:
    if champion is None:
        return ["## No model is served yet", ""]
    data = f", on data version {champion.data_version}" if champion.data_version is not None else ""
    return [
        f"## Version {champion.version} is served",
        "",
        f"Trained {champion.trained_at:%Y-%m-%d %H:%M} UTC{data}.",
        "",
    ]


def last_challenger(
    attempts: Sequence[Row[Any]],
    champion: Row[Any] | None,
    judged: Sequence[Row[Any]],
    history: Sequence[Row[Any]],
) -> list[str]:
    """Why the newest version is not the served one, check by check; nothing when it is."""
    if not attempts or (champion is not None and attempts[0].version <= champion.version):
        return []
    newest = attempts[0]
    lines = _taken_away(newest.version, history) or [
        f"## Why version {newest.version} is not served: {newest.state}",
        "",
        str(newest.reason or "no verdict yet"),
        "",
    ]
    if judged and judged[0].evidence.get("version") == newest.version:
        checks = judged[0].evidence.get("checks", ())
        lines += ["| check | outcome | found |", "|---|---|---|"]
        lines += [
            f"| {cell(one['name'])} | {one.get('outcome', '')} | {cell(one['text'])} |"
            for one in checks
        ]
    return [*lines, ""]


def _taken_away(version: int, history: Sequence[Row[Any]]) -> list[str]:
    """What replaced a version that was served; nothing if it never was."""
    done = [row for row in history if row.state in ("promoted", "rolled_back_to")]
    places = [place for place, row in enumerate(done) if row.version == version]
    if not places or places[0] == 0:
        return []
    after = done[places[0] - 1]
    return [
        f"## Why version {version} is not served any more",
        "",
        f"{after.started_at:%Y-%m-%d %H:%M:%S}, {after.state.replace('_', ' ')} version "
        f"{after.version}, decided by {after.actor}: {after.reason}",
        "",
        "Before, its verdict was:",
        "",
    ]


def _decisions(asked: Sequence[Row[Any]]) -> list[str]:
    if not asked:
        return []
    lines = ["## Was a retrain due?", "", "| when | | why |", "|---|---|---|"]
    lines += [
        f"| {row.decided_at:%Y-%m-%d %H:%M:%S} | {'**yes**' if row.go else 'no'} "
        f"| {cell(row.reason)} |"
        for row in asked
    ]
    return [*lines, ""]


def _links(run: Run, champion: Row[Any] | None) -> list[str]:
    """Where to look on, of what people can open in a browser."""
    links = []
    settings = run.settings
    if settings.mlflow_base is not None:
        page = f"{settings.mlflow_base}/#/models/{quote(model_name(run.name), safe='')}"
        if champion is not None and champion.mlflow_version is not None:
            page += f"/versions/{champion.mlflow_version}"
        links.append(f"- [the model in MLflow]({page})")
    if settings.api_base is not None:
        base = f"{settings.api_base}/problems/{quote(run.name)}"
        links += [
            f"- [Evidently's drift report]({base}/drift/report)",
            f"- [health]({base}/health) and [the API's documentation]({settings.api_base}/docs)",
        ]
    return ["## Links", "", *links] if links else []


def _draw(run: Run, measured: Sequence[Row[Any]]) -> None:
    """The live metric over time, where the newest measurement says something new."""
    if not measured or measured[0].value is None or not _has_news(measured):
        return
    rows = measured[::-1]
    newest = measured[0]
    try:
        from learning.charts import metric_chart  # half a second that most runs do without

        values, low, high = (
            [math.nan if value is None else value for value in column]
            for column in zip(*((row.value, row.low, row.high) for row in rows), strict=True)
        )
        times = [row.clock for row in rows]
        png = metric_chart(newest.metric, times, values, (low, high), newest.floor)
    except Exception as error:  # a picture that cannot be drawn is no reason to fail
        logger.warning("{}: no plot: {}: {}", run.name, type(error).__name__, error)
        return
    show_image(run, "performance-plot", png, f"Live {newest.reason}")


def _has_news(measured: Sequence[Row[Any]]) -> bool:
    if len(measured) == 1:
        return True
    new, old = measured[0], measured[1]
    return (new.value, new.n_rows, new.model_version) != (old.value, old.n_rows, old.model_version)
