"""The processes of a stack, and what each is told through its environment."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

import httpx
from pydantic import AliasChoices, SecretStr

from operate.processes import Service
from operate.worker import POOL
from settings import CHECKOUT, Settings

LOOPBACK = "127.0.0.1"
KEEP_RUNS_SECONDS = 7 * 24 * 3600

NO_TELEMETRY = {
    "DO_NOT_TRACK": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "STREAMLIT_BROWSER_GATHER_USAGE_STATS": "false",
}


def environment_of(settings: Settings) -> dict[str, str]:
    """The variables that make a child read the same settings, whatever folder it runs in."""
    env = {}
    for name, field in Settings.model_fields.items():
        value = getattr(settings, name)
        if value is None:
            continue
        alias = field.validation_alias
        variable = f"PERENNIAL_{name}"
        if isinstance(alias, AliasChoices):
            variable = str(alias.choices[0])
        env[variable.upper()] = _as_text(value)
    return env


def _as_text(value: object) -> str:
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if isinstance(value, tuple):
        return ",".join(value)
    return str(value).lower() if isinstance(value, bool) else str(value)


def prefect_api_url(settings: Settings) -> str:
    """Where Prefect's API answers: the configured server, or the stack's own."""
    return settings.prefect_api_url or f"http://{LOOPBACK}:{settings.prefect_port}/api"


def mlflow_url(settings: Settings) -> str:
    """Where MLflow answers: the configured server, or the stack's own."""
    return settings.mlflow_uri or f"http://{LOOPBACK}:{settings.mlflow_port}"


def api_url(settings: Settings) -> str:
    """Where the API answers a caller on this host."""
    host = LOOPBACK if settings.api_host in ("0.0.0.0", "::") else settings.api_host  # noqa: S104
    return f"http://{host}:{settings.api_port}"


def common_environment(settings: Settings) -> dict[str, str | None]:
    """What every child gets. A person's own Prefect profile and `~/.prefect` stay out of it."""
    personal: dict[str, str | None] = {}
    if settings.prefect_api_url is None:
        personal = {name: None for name in os.environ if name.startswith("PREFECT_")}
    return {
        **personal,
        **environment_of(settings),
        **NO_TELEMETRY,
        "PREFECT_HOME": str(settings.home / "prefect"),
        "PREFECT_API_URL": prefect_api_url(settings),
        "PERENNIAL_MLFLOW_URI": mlflow_url(settings),
        "PYTHONUNBUFFERED": "1",
    }


def prefect_service(settings: Settings) -> Service:
    """The Prefect server with its UI, on a SQLite file of its own.

    It is started as `prefect server start --background` starts it, without the command line's own
    process, which costs two seconds and 80 MB.
    """
    port = settings.prefect_port
    home = settings.home / "prefect"
    url = f"http://{LOOPBACK}:{port}/api"
    application = ("--factory", "operate.prefect_app:create_app")
    address = ("--host", LOOPBACK, "--port", str(port), "--log-level", "warning")
    return Service(
        name="prefect",
        command=(sys.executable, "-m", "uvicorn", *application, *address),
        env={
            **common_environment(settings),
            "PREFECT__SERVER_FINAL": "1",
            "PREFECT_API_DATABASE_CONNECTION_URL": f"sqlite+aiosqlite:///{home / 'prefect.db'}",
            "PREFECT_SERVER_UI_API_URL": url,
            "PREFECT_SERVER_UI_STATIC_DIRECTORY": str(home / "ui"),
            "PREFECT_LOGGING_SERVER_LEVEL": "WARNING",
            # A loop every 30 seconds makes a million runs a year: what is old is cleared away.
            "PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED": "events,flow_runs",
            "PREFECT_SERVER_SERVICES_DB_VACUUM_RETENTION_PERIOD": str(KEEP_RUNS_SECONDS),
        },
        ready=f"{url}/health",
        port=port,
        port_setting="PERENNIAL_PREFECT_PORT",
        timeout_seconds=120.0,
    )


def mlflow_service(settings: Settings) -> Service:
    """The MLflow server, which also keeps the artifacts: clients need no access to its folder."""
    port = settings.mlflow_port
    store, artifacts = (
        f"sqlite:///{settings.home / 'mlflow.db'}",
        settings.home / "mlflow-artifacts",
    )
    return Service(
        name="mlflow",
        command=(
            *(sys.executable, "-m", "operate.stack_mlflow", store, str(artifacts)),
            str(port),
        ),
        # Its job executor is eight more processes and 700 MB, for scorers that nothing here uses.
        env={**common_environment(settings), "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
        ready=f"http://{LOOPBACK}:{port}/health",
        port=port,
        port_setting="PERENNIAL_MLFLOW_PORT",
        timeout_seconds=120.0,
    )


def api_service(settings: Settings) -> Service:
    """The API; it is ready when it answers, with or without a model."""
    address = ("--host", settings.api_host, "--port", str(settings.api_port))
    return Service(
        name="api",
        command=(sys.executable, "-m", "entry", "serve", *address),
        env=common_environment(settings),
        ready=f"{api_url(settings)}/health/live",
        host=settings.api_host,
        port=settings.api_port,
        port_setting="PERENNIAL_API_PORT",
    )


def ui_url(settings: Settings) -> str:
    """Where the status page is opened on this host."""
    host = LOOPBACK if settings.ui_host in ("0.0.0.0", "::") else settings.ui_host  # noqa: S104
    return f"http://{host}:{settings.ui_port}"


def ui_service(settings: Settings) -> Service:
    """The status page; it links to the servers that this stack runs."""
    links = {
        "PERENNIAL_PREFECT_UI_URL": settings.prefect_base
        or prefect_api_url(settings).removesuffix("/api"),
        "PERENNIAL_MLFLOW_UI_URL": settings.mlflow_base or mlflow_url(settings),
    }
    return Service(
        name="ui",
        command=(sys.executable, "-m", "ui"),
        env={**common_environment(settings), **links},
        ready=f"{ui_url(settings)}/_stcore/health",
        host=settings.ui_host,
        port=settings.ui_port,
        port_setting="PERENNIAL_UI_PORT",
    )


def deploy_errand(settings: Settings, file: Path = CHECKOUT / "prefect.yaml") -> Service:
    """Creates the work pool and the deployments, as soon as the Prefect server answers."""
    return Service(
        name="deploy",
        command=(sys.executable, "-m", "operate.stack_deploy", str(file)),
        env=common_environment(settings),
        is_errand=True,
        timeout_seconds=150.0,
    )


def worker_service(settings: Settings) -> Service:
    """The flow runner; it is ready when the server has heard from it since it was started."""
    return Service(
        name="worker",
        command=(sys.executable, "-m", "cli", "worker"),
        env=common_environment(settings),
        ready=worker_probe(prefect_api_url(settings), time.time()),
        timeout_seconds=180.0,
    )


def worker_probe(api: str, since: float, pool: str = POOL) -> Callable[[], bool]:
    """A function that says whether a worker of the pool reported after the time `since`."""

    def heard(worker: Mapping[str, str | None]) -> bool:
        text = worker.get("last_heartbeat_time")
        return text is not None and datetime.fromisoformat(text) >= datetime.fromtimestamp(
            since, UTC
        )

    def probe() -> bool:
        try:
            answer = httpx.post(
                f"{api}/work_pools/{pool}/workers/filter", json={}, timeout=2.0, trust_env=False
            )
        except httpx.HTTPError:
            return False
        return answer.status_code == 200 and any(heard(worker) for worker in answer.json())

    return probe
