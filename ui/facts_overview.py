"""What the overview tells, read in one go."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row

from settings import Settings
from storage import (
    estimates,
    models,
    outbox,
    performance,
    reports,
    rollouts,
    runs,
    volumes,
    waiting_labels,
)
from storage.open_incidents import OpenIncident, open_incidents
from storage.outbox import Entry
from storage.pointers import acknowledgements
from storage.problems import ProblemError, load_problem, problem_folders
from storage.quarantine import count_waiting
from storage.source_positions import states
from ui.api_client import Api, ApiUnavailableError
from ui.stages import ON_TRIAL

IN_THE_WORKS = ("training", "candidate", "waiting", "challenger", "shadow", "canary")
N_ALERTS, N_VERSIONS = 8, 8


@dataclass(frozen=True)
class Overview:
    """One look at a problem. ``api`` is the API's own word on its health, or why there is none."""

    champion: Row[Any] | None
    stages: list[Row[Any]]
    in_the_works: list[Row[Any]]
    live: Row[Any] | None
    estimate: Row[Any] | None
    drift: Row[Any] | None
    decision: Row[Any] | None
    gate: Row[Any] | None
    incidents: list[OpenIncident]
    failing_sources: dict[str, dict[str, Any]]
    last_runs: dict[str, dict[str, Any]]
    alerts: list[Entry]
    newest_batch: Row[Any] | None
    newest_prediction: datetime | None
    newest_label: datetime | None
    n_quarantined: int
    n_waiting_labels: int
    n_waiting_alerts: int
    n_servers: int
    api: dict[str, Any] | str


def read_overview(settings: Settings, connection: Connection, problem: str, api: Api) -> Overview:
    """All of it; the API is asked briefly and may be away."""
    champion = models.champion(connection, problem)
    batch = volumes.newest_batches(connection, problem, 1)
    known = states(connection, problem)
    running = [rollouts.running(connection, problem, (stage,)) for stage in ON_TRIAL]
    stages = [stage for stage in running if stage is not None]
    told = {stage.version for stage in stages}
    return Overview(
        champion=champion,
        stages=stages,
        in_the_works=[
            row
            for row in models.attempts(connection, problem, N_VERSIONS)
            if row.state in IN_THE_WORKS and row.version not in told
        ],
        live=performance.latest_performance(connection, problem),
        estimate=None
        if champion is None
        else estimates.latest_estimate(connection, problem, str(champion.version)),
        drift=reports.latest_drift(connection, problem),
        decision=next(iter(reports.decisions_of(connection, problem, "retrain", 1)), None),
        gate=next(iter(reports.decisions_of(connection, problem, "gate", 1)), None),
        incidents=open_incidents(connection, problem),
        failing_sources={n: one for n, one in known.items() if one.get("failing_since")},
        last_runs=runs.last_runs(connection, problem),
        alerts=outbox.latest(connection, problem, N_ALERTS),
        newest_batch=batch[0] if batch else None,
        newest_prediction=volumes.newest_answer(connection, problem),
        newest_label=volumes.newest_label(connection, problem),
        n_quarantined=count_waiting(connection, problem),
        n_waiting_labels=waiting_labels.count(connection, problem),
        n_waiting_alerts=outbox.count_waiting(connection),
        n_servers=len(acknowledgements(settings.store, problem)),
        api=_health(api),
    )


def _health(api: Api) -> dict[str, Any] | str:
    try:
        return api.health()
    except ApiUnavailableError as error:
        return str(error)


def bootstrap_rows(settings: Settings, problem: str) -> int | None:
    """How many labelled rows a first model needs; None when the problem file cannot be read."""
    try:
        return load_problem(problem, problem_folders(settings)).windows.bootstrap_rows
    except ProblemError:
        return None


def has_generator(settings: Settings, problem: str) -> bool:
    """Whether rows of the problem can be generated."""
    try:
        return load_problem(problem, problem_folders(settings)).generator is not None
    except ProblemError:
        return False
