"""Closed-loop clients over distinct bodies: wrk where it is installed, else one of our own."""

from __future__ import annotations

import asyncio
import itertools
import os
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

SCRIPT = Path(__file__).with_name("serving_wrk.lua")


@dataclass(frozen=True)
class Load:
    """What one run of a client saw; times in milliseconds."""

    client: str
    connections: int
    requests_per_second: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    errors: int


def run_load(url: str, bodies: Path, token: str, connections: int, seconds: float) -> Load:
    """Ask as fast as answers come, on this many connections."""
    if shutil.which("wrk"):
        return _wrk(url, bodies, token, connections, seconds)
    return asyncio.run(_own(url, bodies, token, connections, seconds))


def _wrk(url: str, bodies: Path, token: str, connections: int, seconds: float) -> Load:
    duration = f"-d{max(1, round(seconds))}s"
    command = ["wrk", "-t1", f"-c{connections}", duration, "-s", str(SCRIPT)]
    environment = {**os.environ, "BENCHMARK_BODIES": str(bodies), "BENCHMARK_TOKEN": token}
    done = subprocess.run(  # noqa: S603
        [*command, url],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    line = next(line for line in done.stdout.splitlines() if line.startswith("RESULT"))
    n_requests, micros, p50, p95, p99, _, refused, broken = map(int, line.split()[1:])
    return Load(
        "wrk",
        connections,
        n_requests / (micros / 1e6),
        p50 / 1000,
        p95 / 1000,
        p99 / 1000,
        refused + broken,
    )


async def _own(url: str, bodies: Path, token: str, connections: int, seconds: float) -> Load:
    target = urlsplit(url)
    host, port = str(target.hostname), target.port
    requests = [
        _request(body, host, target.path, token) for body in bodies.read_bytes().splitlines()
    ]
    turns = itertools.count()
    times: list[float] = []
    errors = 0
    deadline = time.perf_counter() + seconds

    async def client() -> None:
        nonlocal errors
        reader, writer = await asyncio.open_connection(host, port)
        while time.perf_counter() < deadline:
            began = time.perf_counter()
            writer.write(requests[next(turns) % len(requests)])
            head = await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(_length(head))
            times.append(time.perf_counter() - began)
            errors += not head.startswith(b"HTTP/1.1 200")
        writer.close()

    began = time.perf_counter()
    await asyncio.gather(*(client() for _ in range(connections)))
    elapsed = time.perf_counter() - began
    times.sort()
    p50, p95, p99 = (1000 * times[int(share * (len(times) - 1))] for share in (0.5, 0.95, 0.99))
    return Load("asyncio", connections, len(times) / elapsed, p50, p95, p99, errors)


def _request(body: bytes, host: str, path: str, token: str) -> bytes:
    head = (
        f"POST {path} HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {token}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def _length(head: bytes) -> int:
    line = next(part for part in head.lower().split(b"\r\n") if part.startswith(b"content-length"))
    return int(line.partition(b":")[2])
