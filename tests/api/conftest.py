"""What the API's tests may ask for."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from pydantic import SecretStr

from settings import Settings
from tests.api.servers import Api, running
from tests.factories_bundles import promote, write_classifier


@pytest.fixture
def open_settings(settings: Settings) -> Settings:
    """Settings of a server that asks for no token."""
    return settings.model_copy(update={"api_insecure": True})


@pytest.fixture
def sql_settings(open_settings: Settings, database_url: str) -> Settings:
    """The same on each kind of database."""
    return open_settings.model_copy(update={"database_url": SecretStr(database_url)})


@pytest.fixture
def api(open_settings: Settings) -> Iterator[Api]:
    """A server that answers with the binary classifier of ``age`` and ``plan``."""
    store = open_settings.store
    promote(store, write_classifier(store), generation=1)
    with running(open_settings) as server:
        yield server
