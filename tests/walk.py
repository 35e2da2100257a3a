"""A newcomer's walk: the commands of a document, run word for word in a checkout of their own."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from settings import CHECKOUT
from tests.api.servers import free_port, wait_until

BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
STAYS = "# leave it running"
ADDRESS = "http://127.0.0.1:8000"  # as documents write it


@dataclass
class Walk:
    """Runs blocks of commands one after the other; what they say is kept in ``told``."""

    folder: Path
    port: int
    told: str = ""
    servers: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def take(self, document: Path) -> None:
        """Run every block of shell commands; AssertionError shows the one that failed."""
        for block in BLOCK.findall(document.read_text(encoding="utf-8")):
            text = block.replace(ADDRESS, self.address)
            if STAYS in text:
                self._start(text)
            else:
                self._run(text)

    @property
    def address(self) -> str:
        """Of the API."""
        return f"http://127.0.0.1:{self.port}"

    def _run(self, text: str) -> None:
        """Shell variables of one block are there in the next, as in a person's terminal."""
        script = f"touch .variables; . ./.variables; set -ea\n{text}\nexport -p > .variables"
        done = subprocess.run(
            ["sh", "-c", script],
            cwd=self.folder,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        self.told += done.stdout
        assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}"

    def _start(self, text: str) -> None:
        command = ["sh", "-c", f"exec {text}"]
        with (self.folder / "server.log").open("ab") as log:
            server = subprocess.Popen(
                command, cwd=self.folder, env=self._environment, stdout=log, stderr=log
            )
        self.servers.append(server)
        wait_until(lambda: self._is_ready() or server.poll() is not None, seconds=120)
        assert server.poll() is None, (self.folder / "server.log").read_text()

    def _is_ready(self) -> bool:
        try:
            return httpx.get(f"{self.address}/health/ready", timeout=1).status_code == 200
        except httpx.HTTPError:
            return False

    @property
    def _environment(self) -> dict[str, str]:
        """A newcomer's, and where this copy's code and a free port are."""
        known = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        own = {"PYTHONPATH": str(self.folder), "PERENNIAL_API_PORT": str(self.port)}
        return {**known, **own, "COLUMNS": "200"}


@contextmanager
def newcomer(folder: Path) -> Iterator[Walk]:
    """A fresh copy of this checkout with its virtual environment, whose servers are ended."""
    names = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(names, cwd=CHECKOUT, capture_output=True, text=True, check=True)
    for name in listed.stdout.splitlines():
        if (CHECKOUT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(CHECKOUT / name, folder / name)
    for name in (".venv", ".tools"):
        (folder / name).symlink_to(CHECKOUT / name)
    walk = Walk(folder, free_port())
    try:
        yield walk
    finally:
        for server in walk.servers:
            server.send_signal(signal.SIGINT)
            server.wait(timeout=30)
