"""Rows a second of `/predict/batch`, beside the limit that parsing plus one graph call set.

    python -m benchmarks.batch [--quick]

Both servers answer the same bodies over one connection, in turns, on the same machine. Ours has
validation, journal, draining and metrics on. `burst` waits until SQL has caught up before each
request; `sustained` sends one after the other while the drainer works. What comes as Arrow is
answered as Arrow.
"""

from __future__ import annotations

import argparse
import http.client
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from benchmarks.batch_bodies import N_ROWS, encode_bodies
from benchmarks.batch_limit import ARROW, BUNDLE
from benchmarks.serving_models import Case, make_case

RESULTS = Path(__file__).parent / "results"
CHECKOUT = Path(__file__).resolve().parents[1]
PROBLEM = "credit"
KINDS = ("linear", "boosting")
PORTS = {"ours": 8741, "limit": 8742}
OURS = (
    "import sys; from settings import Settings; from api.serve import serve; "
    "serve(Settings(), (sys.argv[1],), '127.0.0.1', int(sys.argv[2]))"
)
LIMIT = (
    "import sys, uvicorn; "
    "uvicorn.run('benchmarks.batch_limit:make_app', factory=True, port=int(sys.argv[2]), "
    "log_level='error', access_log=False, timeout_keep_alive=600)"
)
FORMS = ("json columns", "arrow", "json rows", "csv")


@contextmanager
def server(code: str, port: int, home: Path, bundle: Path) -> Iterator[http.client.HTTPConnection]:
    """A connection to a server process that lives as long as the context."""
    environment = {key: v for key, v in os.environ.items() if not key.startswith("PERENNIAL_")}
    environment |= {
        "PERENNIAL_HOME": str(home),
        "PERENNIAL_API_INSECURE": "true",
        "PERENNIAL_LOG_LEVEL": "WARNING",
        "PYTHONPATH": str(CHECKOUT),
        BUNDLE: str(bundle),
    }
    process = subprocess.Popen(  # noqa: S603
        [sys.executable, "-c", code, PROBLEM, str(port)], env=environment, cwd=CHECKOUT
    )
    try:
        yield _connect(port)
    finally:
        process.terminate()
        process.wait(timeout=60)


def _connect(port: int) -> http.client.HTTPConnection:
    deadline = time.monotonic() + 30
    while True:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        try:
            connection.connect()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return connection


def ask(
    connection: http.client.HTTPConnection, body: bytes, kind: str, path: str = "/predict/batch"
) -> float:
    """Seconds until the whole answer is there."""
    headers = {"Content-Type": kind}
    if kind == ARROW.decode():
        headers["Accept"] = kind
    began = time.perf_counter()
    connection.request("POST", path, body, headers)
    answer = connection.getresponse()
    content = answer.read()
    seconds = time.perf_counter() - began
    if answer.status != 200:
        raise RuntimeError(f"{answer.status}: {content[:300]!r}")
    return seconds


def wait_drained(connection: http.client.HTTPConnection) -> None:
    """Return when SQL has all that was answered."""
    while True:
        connection.request("GET", "/health")
        if json.loads(connection.getresponse().read())["journal_backlog"] == 0:
            return
        time.sleep(0.02)


def measure(
    connections: dict[str, http.client.HTTPConnection],
    bodies: list[tuple[bytes, str]],
    n_times: int,
    has_limit: bool,
) -> dict[str, float]:
    """Median rows a second of both servers, asked in turns."""
    ours, limit = connections["ours"], connections["limit"]
    seconds: dict[str, list[float]] = {"burst": [], "sustained": [], "limit": []}
    for turn in range(n_times):
        body = bodies[turn % len(bodies)]
        wait_drained(ours)
        seconds["burst"].append(ask(ours, *body))
        if has_limit:
            seconds["limit"].append(ask(limit, *body))
    for turn in range(n_times):
        seconds["sustained"].append(ask(ours, *bodies[turn % len(bodies)]))
    wait_drained(ours)
    return {name: N_ROWS / statistics.median(found) for name, found in seconds.items() if found}


def flush_seconds(folder: Path, n_bytes: int) -> float:
    """Median seconds of one append and fdatasync: what durability costs each burst at least."""
    found = []
    content = bytes(n_bytes)
    with (folder / "flush").open("ab") as file:
        for _ in range(15):
            began = time.perf_counter()
            os.write(file.fileno(), content)
            os.fdatasync(file.fileno())
            found.append(time.perf_counter() - began)
    return statistics.median(found)


def beside_batches(port: int, case: Case, bodies: list[tuple[bytes, str]], seconds: float) -> Any:
    """Milliseconds of single predictions, alone and while batches are sent one after the other."""
    found: dict[str, list[float]] = {"alone": [], "beside": []}
    is_over = threading.Event()

    def send_batches() -> None:
        connection = _connect(port)
        for turn in itertools.count():
            if is_over.is_set():
                return
            ask(connection, *bodies[turn % len(bodies)])

    connection = _connect(port)
    for name, times in found.items():
        sender = threading.Thread(target=send_batches)
        if name == "beside":
            sender.start()
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            body = case.bodies[len(times) % len(case.bodies)]
            times.append(1000 * ask(connection, body, "application/json", "/predict"))
        if name == "beside":
            is_over.set()
            sender.join()
    return {
        name: {"p50_ms": round(at(times, 0.5), 2), "p99_ms": round(at(times, 0.99), 2)}
        for name, times in found.items()
    }


def at(values: list[float], share: float) -> float:
    """The value below which this share of them lies."""
    return sorted(values)[int(share * (len(values) - 1))]


def run(is_quick: bool) -> dict[str, Any]:
    """One result for each kind of model and form of body; single predictions beside batches."""
    results = []
    beside: dict[str, Any] = {}
    for kind in KINDS:
        with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
            home = Path(folder)
            case = make_case(home / "store", PROBLEM, kind)
            bundle = home / "store" / "bundles" / PROBLEM / case.bundle
            connections = {
                "ours": stack.enter_context(server(OURS, PORTS["ours"], home, bundle)),
                "limit": stack.enter_context(server(LIMIT, PORTS["limit"], home, bundle)),
            }
            for form in FORMS:
                bodies = encode_bodies(case, form)
                has_limit = form in FORMS[:2]
                measure(connections, bodies, 2, has_limit)
                found = measure(connections, bodies, 8 if is_quick else 40, has_limit)
                width = 4 if form == "arrow" else 8
                flush = flush_seconds(home, N_ROWS * len(case.names) * width)
                row = {"model": case.name, "form": form, "bytes": len(bodies[0][0])}
                row |= {f"{name}_rows_per_second": round(v) for name, v in found.items()}
                results.append({**row, "flush_ms": round(1000 * flush, 2)})
                if kind == KINDS[0] and has_limit:
                    seconds = 2.0 if is_quick else 10.0
                    beside[form] = beside_batches(PORTS["ours"], case, bodies, seconds)
    return {"rows": N_ROWS, "batches": results, "predict": beside}


def table(found: dict[str, Any]) -> str:
    """The results as the page shows them."""
    lines = [
        f"Batches of {N_ROWS:,} rows of 189 features; rows a second, medians.",
        "",
        "| model | body | burst | sustained | limit | burst of limit | one flush, ms |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in found["batches"]:
        limit = row.get("limit_rows_per_second")
        burst = row["burst_rows_per_second"]
        lines.append(
            f"| {row['model']} | {row['form']} | {burst:,} | {row['sustained_rows_per_second']:,} "
            f"| {f'{limit:,}' if limit else ''} | {f'{burst / limit:.2f}' if limit else ''} "
            f"| {row['flush_ms']:.1f} |"
        )
    lines += ["", *_of_json(found["batches"]), ""]
    lines += ["Single predictions, milliseconds:", ""]
    lines += ["| beside | p50 | p99 |", "|---|---|---|"]
    for name, times in found["predict"].items():
        for when, one in times.items():
            words = "nothing" if when == "alone" else f"batches of {name}"
            lines.append(f"| {words} | {one['p50_ms']} | {one['p99_ms']} |")
    return "\n".join(lines) + "\n"


def _of_json(batches: list[dict[str, Any]]) -> list[str]:
    """How many times faster Arrow is than JSON in columns."""
    rates = {(row["model"], row["form"]): row for row in batches}
    lines = []
    for model in dict.fromkeys(row["model"] for row in batches):
        arrow, columns = rates[model, "arrow"], rates[model, "json columns"]
        times = {
            way: arrow[f"{way}_rows_per_second"] / columns[f"{way}_rows_per_second"]
            for way in ("burst", "sustained")
        }
        lines.append(
            f"- {model}: Arrow is {times['burst']:.1f} times as fast as JSON in columns in a "
            f"burst, {times['sustained']:.1f} times sustained"
        )
    return lines


def main() -> None:
    """Measure and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="about half a minute")
    results = run(parser.parse_args().quick)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "batch.json").write_text(json.dumps(results, indent=1) + "\n")
    (RESULTS / "batch.md").write_text(table(results))
    print(table(results))  # noqa: T201


if __name__ == "__main__":
    main()
