"""The snippets of docs/api.md, run as they stand there."""

from __future__ import annotations

import os
import re
import shutil
import subprocess

import pytest

from settings import CHECKOUT
from tests.api.servers import Api

DOCUMENT = (CHECKOUT / "docs" / "api.md").read_text()


def snippets(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", DOCUMENT, re.DOTALL)


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
