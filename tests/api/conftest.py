"""What the API's tests may ask for."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from pydantic import SecretStr

from settings import Settings
from storage.database import upgrade
from storage.manifest import FeatureSpec
from storage.tokens import create_token
from tests.api.servers import Api, running, wait_until
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


@pytest.fixture
def guarded(settings: Settings) -> Iterator[tuple[Api, str]]:
    """A server with tokens, and one that the documents' snippets may use."""
    features = (FeatureSpec("x1", "numeric"), FeatureSpec("x2", "numeric"))
    upgrade(settings.sql_url)
    promote(settings.store, write_classifier(settings.store, features=features), 1)
    with running(settings) as api:
        _, token = create_token(api.runtime.engine, ["predict", "feedback", "read"])
        headers = {"Authorization": f"Bearer {token}"}
        wait_until(lambda: api.client.get("/model/info", headers=headers).status_code == 200)
        yield api, token
