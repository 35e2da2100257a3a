"""Serves the work pool: `perennial worker`."""

from __future__ import annotations

import os

from operate.priority import give_way
from settings import Settings, get_settings

POOL = "perennial"


def configure(settings: Settings) -> None:
    """Give Prefect, before it is imported, what is not in the environment already."""
    url = settings.prefect_api_url or f"http://127.0.0.1:{settings.prefect_port}/api"
    defaults = {
        "PREFECT_API_URL": url,
        "PREFECT_WORKER_QUERY_SECONDS": "1",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    for name, value in defaults.items():
        os.environ.setdefault(name, value)


def run_worker(pool: str = POOL) -> None:
    """Serve the pool until SIGTERM or Ctrl-C, then end every child.

    The fork server imports what flow runs need while this process imports Prefect and waits for
    the server. Predictions go first: what trains is nicer than what answers.
    """
    give_way()
    configure(get_settings())
    from operate.worker_forks import Forks

    forks = Forks()
    forks.warm()
    try:
        import anyio

        from operate.worker_process import serve

        anyio.run(serve, pool, forks)
    finally:
        forks.close()
