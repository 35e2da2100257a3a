"""A real Prefect server, once per session, and a home with the small problem in the environment."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from prefect.settings import (
    PREFECT_FLOWS_HEARTBEAT_FREQUENCY,
    PREFECT_SERVER_ANALYTICS_ENABLED,
    temporary_settings,
)
from prefect.testing.utilities import prefect_test_harness

from settings import Settings, get_settings
from tests.factories import NOWHERE, small_settings


@pytest.fixture(scope="session")
def prefect_server() -> Iterator[None]:
    """Flows of this process talk to a server with a database of its own."""
    # The heartbeat adds a second to each flow run.
    changes = {PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None, PREFECT_SERVER_ANALYTICS_ENABLED: False}
    with temporary_settings(changes), prefect_test_harness(server_startup_timeout=180):
        yield


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    """Settings that the flows find in the environment."""
    settings = small_settings(tmp_path / "home")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PERENNIAL_HOME", str(settings.home))
    monkeypatch.setenv("PERENNIAL_PROBLEMS", str(settings.problems))
    monkeypatch.setenv("PERENNIAL_ACTIVE", "small")
    monkeypatch.setenv("PERENNIAL_MLFLOW_URI", NOWHERE)
    get_settings.cache_clear()
    yield settings
    get_settings.cache_clear()
