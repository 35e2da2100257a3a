"""The snippets of docs/api.md, run as they stand there."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator

import pytest

from settings import CHECKOUT, Settings
from storage.database import upgrade
from storage.manifest import FeatureSpec
from storage.tokens import create_token
from tests.api.servers import Api, running, wait_until
from tests.factories_bundles import promote, write_classifier

DOCUMENT = (CHECKOUT / "docs" / "api.md").read_text()
X1_AND_X2 = (FeatureSpec("x1", "numeric"), FeatureSpec("x2", "numeric"))


def snippets(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", DOCUMENT, re.DOTALL)


@pytest.fixture
def guarded(settings: Settings) -> Iterator[tuple[Api, str]]:
    """A server with tokens, and one that the snippets may use."""
    upgrade(settings.sql_url)
    promote(settings.store, write_classifier(settings.store, features=X1_AND_X2), 1)
    with running(settings) as api:
        _, token = create_token(api.runtime.engine, ["predict", "feedback", "read"])
        headers = {"Authorization": f"Bearer {token}"}
        wait_until(lambda: api.client.get("/model/info", headers=headers).status_code == 200)
        yield api, token


def test_every_snippet_does_what_it_says(guarded: tuple[Api, str]) -> None:
    api, token = guarded
    address = str(api.client.base_url).rstrip("/")
    if shutil.which("curl") is None:
        pytest.skip("the snippets need curl")
    environment = {**os.environ, "API": address, "TOKEN": token}
    calls = [text for text in snippets("sh") if "curl" in text]
    assert len(calls) == 4
    for text in calls:
        done = subprocess.run(
            ["sh", "-ec", text], env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, text + done.stderr
        assert done.stdout.startswith("{")
    for text in snippets("python"):
        exec(compile(text, "docs/api.md", "exec"), {"API": address, "TOKEN": token})


def test_every_route_stands_in_the_document(api: Api) -> None:
    for path in api.client.get("/openapi.json").json()["paths"]:
        if not path.startswith("/problems/"):
            assert path.replace("{prediction_id}", "{id}") in DOCUMENT
