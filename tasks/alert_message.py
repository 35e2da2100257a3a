"""An alert as it is told: where to read more, and a picture of the metric that it is about."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from loguru import logger
from sqlalchemy import Connection, Engine, Row

from settings import Settings
from storage import models, reports
from storage.database import reading
from storage.outbox import Entry
from storage.registry import model_name
from storage.runs import flow_run_id_of
from tasks.sending import Link, Message

N_POINTS = 60
ABOUT_DRIFT = frozenset({"drift_found", "drift_over"})
ABOUT_PERFORMANCE = frozenset({"performance_below_floor", "performance_recovered"})
ABOUT_A_VERSION = frozenset(
    {"first_champion", "promoted", "challenger_refused", "challenger_waits"}
)


class Composer:
    """Adds to an alert what its channels show beside the words; what fails is left out."""

    def __init__(self, settings: Settings, engine: Engine) -> None:
        self._settings = settings
        self._engine = engine
        self._last: Message | None = None

    def __call__(self, entry: Entry) -> Message:
        """The message for an alert; never raises. Asked for by several channels, drawn once."""
        last = self._last
        if last is not None and last.entry.id == entry.id:
            return Message(entry, last.links, last.picture)
        links: tuple[Link, ...] = ()
        picture = None
        try:
            with reading(self._engine) as connection:
                links = _links(self._settings, connection, entry)
                history = _history(connection, entry)
            picture = _draw(entry, history)
        except Exception as error:  # an alert without its picture is still an alert
            logger.warning("alert {} goes out plain: {}", entry.event_id, type(error).__name__)
        self._last = Message(entry, links, picture)
        return self._last


def _links(settings: Settings, connection: Connection, entry: Entry) -> tuple[Link, ...]:
    run_id, kind = entry.event_id.partition(":")[0], entry.alert.kind
    links = []
    if kind in ABOUT_DRIFT and settings.api_base is not None:
        checked = reports.drift_of_run(connection, run_id)
        if checked is not None and checked.report is not None:
            page = f"{settings.api_base}/problems/{entry.problem}/drift/report"
            links.append(Link("Drift report", page))
    flow_run_id = flow_run_id_of(connection, run_id)
    if flow_run_id is not None and settings.prefect_base is not None:
        page = f"{settings.prefect_base}/runs/flow-run/{quote(flow_run_id)}"
        links.append(Link("Prefect run", page))
    if kind in ABOUT_A_VERSION and settings.mlflow_base is not None:
        row = models.of_run(connection, entry.problem, run_id)
        if row is not None and row.mlflow_version is not None:
            name = quote(model_name(entry.problem), safe="")
            page = f"{settings.mlflow_base}/#/models/{name}/versions/{row.mlflow_version}"
            links.append(Link("MLflow", page))
    if kind == "errors_high" and settings.api_base is not None:
        links.append(Link("Health", f"{settings.api_base}/health"))
    return tuple(links)


def _history(connection: Connection, entry: Entry) -> Sequence[Row[Any]]:
    """What was measured until the alert, oldest first; empty when it is about no metric."""
    kind, until = entry.alert.kind, entry.created_at
    if kind in ABOUT_DRIFT:
        return reports.drift_until(connection, entry.problem, until, N_POINTS)[::-1]
    if kind in ABOUT_PERFORMANCE:
        return reports.performance_until(connection, entry.problem, until, N_POINTS)[::-1]
    return ()


def _draw(entry: Entry, rows: Sequence[Row[Any]]) -> bytes | None:
    is_drift = entry.alert.kind in ABOUT_DRIFT
    values = [_real(row.drift_share if is_drift else row.value) for row in rows]
    if not any(map(math.isfinite, values)):
        return None
    from learning.charts import metric_chart  # a second and 50 MB that most alerts do without

    times = [row.clock for row in rows]
    if is_drift:
        limit = _number(entry.alert.fields.get("Alarm above"))
        return metric_chart("drift share", times, values, None, limit)
    band = ([_real(row.low) for row in rows], [_real(row.high) for row in rows])
    limit = _number(entry.alert.fields.get("Floor"))
    return metric_chart(str(rows[-1].metric), times, values, band, limit)


def _real(value: float | None) -> float:
    return math.nan if value is None else value


def _number(value: object) -> float | None:
    try:
        return float(str(value))
    except ValueError:
        return None
