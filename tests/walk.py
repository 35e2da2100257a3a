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
PARTS = ("api", "ui", "prefect", "mlflow")
DEMO = "make demo"  # a story of minutes, which its own tests tell


@dataclass
class Walk:
    """Runs blocks of commands one after the other; what they say is kept in ``told``."""

    folder: Path
    ports: dict[str, int]
    told: str = ""
    servers: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def take(self, document: Path, section: str = "") -> None:
        """Run every block of shell commands, of one section where it is named, but demos.

        AssertionError shows the one that failed.
        """
        text = document.read_text(encoding="utf-8")
        if section:
            text = text.partition(f"\n## {section}\n")[2].partition("\n## ")[0]
        for block in BLOCK.findall(text):
            if STAYS in block:
                self._start(block)
            elif not block.startswith(DEMO):
                self.run(block.replace(ADDRESS, self.address("api")))

    def address(self, part: str) -> str:
        """Of one of the servers."""
        return f"http://127.0.0.1:{self.ports[part]}"

    @property
    def log(self) -> str:
        """What servers have printed so far."""
        return (self.folder / "server.log").read_text()

    def press_ctrl_c(self, server: subprocess.Popen[bytes]) -> int:
        """As a terminal does, to all that it started there; the exit code."""
        os.killpg(server.pid, signal.SIGINT)
        self.servers.remove(server)
        return server.wait(timeout=60)

    def run(self, text: str) -> None:
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
                command,
                cwd=self.folder,
                env=self._environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.servers.append(server)
        wait_until(lambda: self._is_ready() or server.poll() is not None, seconds=180, every=0.1)
        assert server.poll() is None, self.log

    def _is_ready(self) -> bool:
        """One server answers, or a stack has said that all of it is up."""
        if "is up" in self.log:
            return "Logs" in self.log
        try:
            return httpx.get(f"{self.address('api')}/health/ready", timeout=1).status_code == 200
        except httpx.HTTPError:
            return False

    @property
    def _environment(self) -> dict[str, str]:
        """A newcomer's, and where this copy's code and a free port are."""
        known = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
        own = {"PYTHONPATH": str(self.folder), "HOME": str(self.folder / "person")}
        ports = {f"PERENNIAL_{part.upper()}_PORT": str(port) for part, port in self.ports.items()}
        return {**known, **own, **ports, "COLUMNS": "200"}


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
    (folder / "person").mkdir()
    walk = Walk(folder, {part: free_port() for part in PARTS})
    try:
        yield walk
    finally:
        for server in list(walk.servers):
            walk.press_ctrl_c(server)
