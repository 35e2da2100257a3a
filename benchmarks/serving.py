"""How fast predictions are answered, beside the limit and beside what is commonly written.

`python -m benchmarks.serving [--quick]` writes `benchmarks/results/serving.json` and `.md`.
Servers take turns within one run: on a busy machine the ratios count, not the numbers.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import threading
import time
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import joblib

from benchmarks import serving_servers as servers
from benchmarks.serving_client import Load, run_load
from benchmarks.serving_models import Case, make_case, promote_next
from benchmarks.serving_rivals import PIPELINE, mlflow_bodies, save_for_mlflow
from benchmarks.serving_servers import TOKEN, Running, Server
from benchmarks.serving_table import table

RESULTS = Path(__file__).parent / "results"
CASES = (("credit", "linear"), ("credit", "boosting"), ("linear", "linear"))
CONNECTIONS = (1, 8, 32)
OURS, LIMIT = "perennial", "bare uvicorn + ONNX Runtime"
TYPED, PICKLED = "FastAPI + pydantic + ONNX Runtime", "FastAPI + joblib + pandas"
MLFLOW = "mlflow models serve"


def main() -> None:
    """Measure and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="about a minute, less exact")
    quick = parser.parse_args().quick
    seconds, rounds = (1.0, 1) if quick else (4.0, 3)
    with tempfile.TemporaryDirectory() as folder:
        cases = {}
        for problem, kind in CASES:
            home = Path(folder) / f"{problem}-{kind}"
            case = make_case(home / "store", problem, kind)
            print(f"{case.name}: measuring", flush=True)  # noqa: T201
            cases[case.name] = measure_case(case, home, seconds, rounds)
            if (problem, kind) == CASES[0]:
                swaps = measure_swaps(case, home, 3 * seconds)
                start = measure_start(case, home, 2 if quick else 7)
    result = {
        "cpus": os.cpu_count(),
        "seconds_per_run": seconds,
        "rounds": rounds,
        "sync_ms": sync_ms(),
        "cases": cases,
        "swaps": swaps,
        "start": start,
    }
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "serving.json").write_text(json.dumps(result, indent=1) + "\n")
    (RESULTS / "serving.md").write_text(table(result))
    print(table(result))  # noqa: T201


def measure_case(case: Case, home: Path, seconds: float, rounds: int) -> dict[str, Any]:
    """Every server with one model, at every number of connections."""
    bundle = home / "store" / "bundles" / case.problem / case.bundle
    joblib.dump(case.fitted.pipeline, bundle.parent / PIPELINE)
    bodies = home / "bodies.txt"
    bodies.write_bytes(b"\n".join(case.bodies))
    rivals = [
        servers.python(LIMIT, "serving_limit", "make_app", bundle),
        servers.python(TYPED, "serving_rivals", "make_typed", bundle),
        servers.python(PICKLED, "serving_rivals", "make_pickled", bundle),
    ]
    found: dict[str, Any] = {}
    with (
        servers.running(servers.ours(home, case.problem), case.bodies[0]) as own,
        servers.running(rivals[0], case.bodies[0]) as limit,
    ):
        pair = {OURS: own, LIMIT: limit}
        _measure_in_turns(pair, bodies, seconds, rounds, found)
    for rival in rivals[1:]:
        found[rival.name] = _measure_alone(rival, case.bodies[0], bodies, seconds)
    found[MLFLOW] = _measure_mlflow(case, bundle, seconds)
    for name, entry in found.items():
        entry["ratio_to_limit"] = {
            load["connections"]: load["requests_per_second"] / base["requests_per_second"]
            for load, base in zip(entry["loads"], found[LIMIT]["loads"], strict=True)
        }
        entry["name"] = name
    return found


def _measure_in_turns(
    pair: dict[str, Running], bodies: Path, seconds: float, rounds: int, found: dict[str, Any]
) -> None:
    loads: dict[str, list[dict[str, Any]]] = {name: [] for name in pair}
    for connections in CONNECTIONS:
        runs: dict[str, list[Load]] = {name: [] for name in pair}
        for _ in range(rounds):
            for name, server in pair.items():
                runs[name].append(run_load(server.url, bodies, TOKEN, connections, seconds))
        for name in pair:
            loads[name].append(asdict(_middle(runs[name])))
    for name, server in pair.items():
        found[name] = {"loads": loads[name], **server.memory()}


def _measure_mlflow(case: Case, bundle: Path, seconds: float) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        model = save_for_mlflow(case.fitted.pipeline, Path(folder))
        asked = mlflow_bodies(bundle, case.rows)
        bodies = Path(folder) / "bodies.txt"
        bodies.write_bytes(b"\n".join(asked))
        return _measure_alone(servers.mlflow(MLFLOW, model), asked[0], bodies, seconds)


def _measure_alone(server: Server, first: bytes, bodies: Path, seconds: float) -> dict[str, Any]:
    with servers.running(server, first) as rival:
        loads = [
            asdict(run_load(rival.url, bodies, TOKEN, connections, seconds))
            for connections in CONNECTIONS
        ]
        return {"loads": loads, **rival.memory()}


def _middle(runs: Iterable[Load]) -> Load:
    """The run in the middle by its rate."""
    ranked = sorted(runs, key=lambda load: load.requests_per_second)
    return ranked[len(ranked) // 2]


def measure_swaps(case: Case, home: Path, seconds: float) -> dict[str, Any]:
    """Seconds with a hot swap each, against steady ones."""
    bodies = home / "bodies.txt"
    with servers.running(servers.ours(home, case.problem), case.bodies[0]) as own:
        steady = run_load(own.url, bodies, TOKEN, 8, seconds)
        stop = threading.Event()

        def swap() -> None:
            while not stop.wait(1.0):
                promote_next(home / "store", case.problem, case.bundle)

        swapping = threading.Thread(target=swap)
        swapping.start()
        swapped = run_load(own.url, bodies, TOKEN, 8, seconds)
        stop.set()
        swapping.join()
    return {
        "steady_p99_ms": steady.p99_ms,
        "swap_p99_ms": swapped.p99_ms,
        "ratio": swapped.p99_ms / steady.p99_ms,
        "failed": steady.errors + swapped.errors,
    }


def measure_start(case: Case, home: Path, rounds: int) -> dict[str, float]:
    """Process start to first answered prediction, against importing the libraries alone."""
    imports, starts = [], []
    for _ in range(rounds):
        imports.append(servers.import_seconds())
        with servers.running(servers.ours(home, case.problem), case.bodies[0]) as own:
            starts.append(own.seconds_to_answer)
    start, libraries = statistics.median(starts), statistics.median(imports)
    return {"start_seconds": start, "import_seconds": libraries, "ratio": start / libraries}


def sync_ms(n_tries: int = 200) -> float:
    """Median of one small append with its fdatasync here, which bounds every durable answer."""
    times = []
    with tempfile.TemporaryFile() as file:
        for _ in range(n_tries):
            began = time.perf_counter()
            os.write(file.fileno(), b"x" * 4096)
            os.fdatasync(file.fileno())
            times.append(time.perf_counter() - began)
    return 1000 * statistics.median(times)


if __name__ == "__main__":
    main()
