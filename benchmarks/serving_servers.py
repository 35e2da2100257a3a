"""The servers that are measured, each as a process of its own."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TOKEN = "benchmark-token"  # noqa: S105
START = (
    "import sys, uvicorn; from benchmarks import {module}; "
    "uvicorn.run({module}.{make}(), port=int(sys.argv[1]), http='httptools', loop='uvloop', "
    "ws='none', lifespan='off', access_log=False, log_level='error')"
)
IMPORTS = "import fastapi, uvicorn, numpy, onnxruntime"


@dataclass(frozen=True)
class Server:
    """One way to serve: its name, the process that does it and where it is asked."""

    name: str
    command: tuple[str, ...]
    environment: dict[str, str]
    path: str = "/predict"


@dataclass(frozen=True)
class Running:
    """A server that answers at a URL; ``pid`` leads its process group."""

    url: str
    pid: int
    seconds_to_answer: float

    def memory(self) -> dict[str, float]:
        """Resident memory now: of the largest of its processes, and of all of them."""
        found = [_resident_mb(process) for process in _group(self.pid)]
        return {"memory_mb": max(found), "memory_all_mb": sum(found)}


def ours(home: Path, problem: str, *options: str) -> Server:
    """`perennial serve` with a token, validation, journal and metrics."""
    environment = {"PERENNIAL_HOME": str(home), "PERENNIAL_API_TOKEN": TOKEN}
    command = (sys.executable, "-m", "entry", "serve", "--problem", problem, *options, "--port")
    return Server("perennial", command, environment)


def python(name: str, module: str, make: str, bundle: Path) -> Server:
    """An app of this folder under uvicorn."""
    command = (sys.executable, "-c", START.format(module=module, make=make))
    return Server(name, command, {"BENCHMARK_BUNDLE": str(bundle)})


def mlflow(name: str, model: Path) -> Server:
    """`mlflow models serve` of a saved model, without an environment of its own."""
    options = ("--env-manager", "local", "--model-uri", str(model), "--port")
    command = (sys.executable, "-m", "mlflow", "models", "serve", *options)
    quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "1"}
    # It calls uvicorn by name.
    paths = {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    return Server(name, command, quiet | paths, "/invocations")


@contextmanager
def running(server: Server, body: bytes, patience: float = 60.0) -> Iterator[Running]:
    """The server, once it has answered a first prediction."""
    port = _free_port()
    began = time.perf_counter()
    process = subprocess.Popen(  # noqa: S603
        [*server.command, str(port)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), **server.environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    url = f"http://127.0.0.1:{port}{server.path}"
    try:
        while not _answers(url, body):
            if process.poll() is not None or time.perf_counter() - began > patience:
                raise TimeoutError(f"{server.name} does not answer")
            time.sleep(0.005)
        yield Running(url, process.pid, time.perf_counter() - began)
    finally:
        _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(30)
    except subprocess.TimeoutExpired:
        pass
    finally:
        with contextlib.suppress(ProcessLookupError):  # all of its group have ended
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _group(leader: int) -> list[Path]:
    """The folders in /proc of a process group."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(ProcessLookupError):
            if os.getpgid(int(folder.name)) == leader:
                found.append(folder)
    return found


def _resident_mb(process: Path) -> float:
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        for line in (process / "status").read_text().splitlines():
            if line.startswith("VmRSS"):
                return int(line.split()[1]) / 1024
    return 0.0


def import_seconds() -> float:
    """How long the libraries alone take to import in a new process."""
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", IMPORTS], check=True)  # noqa: S603
    return time.perf_counter() - began


def _answers(url: str, body: bytes) -> bool:
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {TOKEN}"}
    request = urllib.request.Request(url, body, headers)  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:  # noqa: S310
            return bool(answer.status == 200)
    except OSError:
        return False


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port
