"""The clients of docs/clients.md, run as they stand there against a real server."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys

import pytest

from settings import CHECKOUT
from tests.api.servers import Api

DOCUMENT = (CHECKOUT / "docs" / "clients.md").read_text()
PROGRAMS = {
    "sh": (["sh", "-e"], "curl", "order-18", 1),
    "python": ([sys.executable, "-"], sys.executable, "order-19", 0),
    "javascript": (["node", "--input-type=module", "-"], "node", "order-20", 1),
}


@pytest.mark.parametrize("language", list(PROGRAMS))
def test_a_client_predicts_and_tells_and_may_do_so_again(
    guarded: tuple[Api, str], language: str
) -> None:
    api, token = guarded
    command, needed, prediction_id, actual = PROGRAMS[language]
    if shutil.which(needed) is None:
        pytest.skip(f"the {language} client needs {needed}, which is not installed here")
    (source,) = re.findall(rf"```{language}\n(.*?)```", DOCUMENT, re.DOTALL)
    address = str(api.client.base_url).rstrip("/")
    environment = {**os.environ, "API": address, "TOKEN": token}
    for _ in range(2):
        done = subprocess.run(
            command,
            input=source,
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert "1" in done.stdout
    api.drained()
    headers = {"Authorization": f"Bearer {token}"}
    stored = api.client.get(f"/predictions/{prediction_id}", headers=headers).json()
    assert stored["feedback"]["actual"] == actual
