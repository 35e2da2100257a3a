"""The API as tests use it: a real server on a free loopback port, in a thread or a process."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import uvicorn

from api.app import create_app
from api.direct import direct_protocol
from api.runtime import Runtime
from settings import Settings

CHECKOUT = Path(__file__).resolve().parents[2]
START = (
    "import sys; from settings import Settings; from api.serve import serve; "
    "serve(Settings(), tuple(sys.argv[1].split(',')), '127.0.0.1', int(sys.argv[2]), "
    "int((*sys.argv, '1')[3]))"
)


def wait_until(is_true: Callable[[], Any], seconds: float = 30.0, every: float = 0.01) -> Any:
    """The first true value of ``is_true``; AssertionError when none comes in time."""
    pause = threading.Event()
    deadline = time.monotonic() + seconds
    while True:
        value = is_true()
        if value:
            return value
        assert time.monotonic() < deadline, "waited in vain"
        pause.wait(every)


def free_port() -> int:
    """A loopback port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass
class Api:
    """A server under test."""

    client: httpx.Client
    settings: Settings
    runtime: Runtime
    port: int

    @property
    def store(self) -> Path:
        """Where it looks for pointers and bundles."""
        return self.settings.store

    def health(self) -> dict[str, Any]:
        """Its word on itself."""
        answer: dict[str, Any] = self.client.get("/health").json()
        return answer

    def predict(self, **body: Any) -> httpx.Response:
        """One prediction."""
        return self.client.post("/predict", json=body)

    def drained(self) -> None:
        """Wait until SQL has everything."""
        wait_until(lambda: self.runtime.recorder.n_backlog == 0)

    def serves(self, version: str) -> None:
        """Wait until this version answers."""
        slot = self.runtime.slots[self.runtime.problems[0]]
        wait_until(lambda: slot.model and slot.model.manifest.version == version)


@contextmanager
def running(settings: Settings, *problems: str) -> Iterator[Api]:
    """The API in a thread of this process, stopped at the end."""
    app = create_app(settings, problems or ("demo",))
    config = uvicorn.Config(
        app,
        port=0,
        log_config=None,
        access_log=False,
        ws="none",
        http=direct_protocol(app.direct, app.runtime.metrics, app.runtime.limits),
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=lambda: server.run(sockets=[listener]))
        thread.start()
        port = listener.getsockname()[1]
        try:
            wait_until(lambda: server.started or not thread.is_alive())
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
                yield Api(client, settings, app.state.runtime, port)
        finally:
            server.should_exit = True
            thread.join()


class ServerProcess:
    """The API as its own process, which tests may kill."""

    def __init__(self, home: Path, port: int, workers: int = 1, **environment: str) -> None:
        self._home = home
        self._workers = workers
        self._environment = environment
        self.port = port
        self.address = f"http://127.0.0.1:{port}"
        self.process: subprocess.Popen[bytes]
        self.start()

    def start(self) -> None:
        """Start, again after a kill."""
        environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith("PERENNIAL_")},
            "PERENNIAL_HOME": str(self._home),
            "PERENNIAL_API_INSECURE": "true",
            "PYTHONPATH": str(CHECKOUT),
            **self._environment,
        }
        self.process = subprocess.Popen(
            [sys.executable, "-c", START, "demo", str(self.port), str(self._workers)],
            env=environment,
            cwd=self._home,
            stderr=subprocess.PIPE if "stderr" in environment else subprocess.DEVNULL,
        )

    def worker_ids(self) -> list[int]:
        """Process ids of the workers that the parent has now."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return [int(word) for word in children.read_text().split()]

    def answers(self) -> bool:
        """Whether it has begun to answer."""
        try:
            return httpx.get(f"{self.address}/health/live", timeout=1).status_code == 200
        except httpx.HTTPError:
            return False

    def kill(self) -> None:
        """End it as a power cut would."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self) -> int:
        """Ask it to stop; its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=20)
