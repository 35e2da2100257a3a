"""What the loop adds to a bare fit, from a trigger to the first answer of the new model.

    python -m benchmarks.cycle [--small] [--turns N]

A champion serves; newer labelled rows arrive, and a retrain is asked for. Measured is the wall
time from that moment until a serving process would answer with the new bundle (read, checked
against its sha256, its golden rows run), by part; beside it the bare fits: the same model on the
same rows, nothing else. MLflow is a SQLite file, recorded after the promotion. Small: 1,000 rows
of 20 columns, search off (one kind, one window, one setting and fold). Large: 100,000 rows of 30
columns with the default search. The small one also as a run of a deployment, through Prefect.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pandas as pd
from loguru import logger

from api.session import load_model
from benchmarks.cycle_prefect import measure_prefect
from flows.ingest import ingest_all
from learning.decision import Decision
from learning.problem import Problem
from settings import Settings
from storage import registry
from storage.pointers import read_pointer
from storage.problems import write_problem
from tasks.gate import judge_candidate
from tasks.ingest_inbox import inbox_folder
from tasks.record import record_versions
from tasks.release import promote
from tasks.run import Run, loop_run
from tasks.training import train_candidate

RESULTS = Path(__file__).parent / "results"
START = datetime(2026, 1, 1, tzinfo=UTC)
NAME = "cycle"
# What is timed inside a training, by the module in which its name is looked up.
PARTS = {
    "windows": [
        ("tasks.training", "read_labelled"),
        ("tasks.training", "load_champion"),
        ("learning.training", "_split"),
    ],
    "search": [("learning.training", "search")],
    "fit": [("learning.training", "fit")],
    "calibration and threshold": [("learning.training", "settle")],
    "evaluation": [
        ("tasks.training", "feature_importance"),
        ("tasks.training", "evaluation_figures"),
        ("tasks.training", "evaluation_parts"),
        ("tasks.training", "rival_output"),
    ],
    "estimates": [
        ("learning.training", "fit_scalings"),
        ("learning.training", "fit_loss_model"),
    ],
    "ONNX": [("learning.training", "export")],
    "parity": [("learning.training", "parity_rows"), ("learning.training", "check_parity")],
    "references": [("tasks.training", "keep_references")],
    "explanation": [("tasks.training", "explanation_file")],
    "lineage": [("tasks.training", "lineage_of")],
    "MLflow run": [("tasks.training", "_open_run")],
    "bundle": [("tasks.training", "write_bundle")],
}


def rows(n: int, n_columns: int, first: int = 0) -> pd.DataFrame:
    """Labelled rows, one a second, of which three columns decide, with noise."""
    rng = np.random.default_rng([first, n])
    x = rng.normal(size=(n, n_columns))
    score = x[:, 0] - 0.7 * x[:, 1] + 0.5 * x[:, 2] * (x[:, 3] > 0)
    frame = pd.DataFrame(x, columns=[f"x{place}" for place in range(n_columns)])
    frame.insert(0, "row", [f"r{place:07d}" for place in range(first, first + n)])
    frame["when"] = [START + timedelta(seconds=place) for place in range(first, first + n)]
    frame["label"] = (rng.random(n) < 1 / (1 + np.exp(-2 * score))).astype(int)
    return frame


def problem_of(n_columns: int, **changes: Any) -> Problem:
    """The problem file; a gate that lets an equal model pass, so that each turn swaps."""
    fields: dict[str, Any] = {
        "name": NAME, "target": "label", "task": "binary", "classes": ["0", "1"],
        "event_time": "when", "key": "row",
        "features": [{"name": f"x{place}"} for place in range(n_columns)],
        "windows": {"bootstrap_rows": 500, "training_rows": 200_000},
        "sources": ["inbox"],
    }  # fmt: skip
    return Problem.model_validate({**fields, **changes})


class Clock:
    """Seconds by part; a part inside another counts for itself alone."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.cpu = 0.0
        self._open: list[float] = []

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Time a part."""
        began = time.perf_counter()
        self._open.append(0.0)
        try:
            yield
        finally:
            took, inside = time.perf_counter() - began, self._open.pop()
            self.seconds[name] = self.seconds.get(name, 0.0) + took - inside
            if self._open:
                self._open[-1] += took

    def wrap(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """A function whose calls are timed as this part."""

        def call(*args: Any, **kwargs: Any) -> Any:
            with self.part(name):
                return function(*args, **kwargs)

        return call


@contextmanager
def timed_parts(clock: Clock) -> Iterator[None]:
    """Time everything in `PARTS` while it holds."""
    import importlib
    from contextlib import ExitStack

    with ExitStack() as stack:
        for part, places in PARTS.items():
            for module_name, name in places:
                module = importlib.import_module(module_name)
                if hasattr(module, name):
                    wrapped = clock.wrap(part, getattr(module, name))
                    stack.enter_context(patch.object(module, name, wrapped))
        yield


def one_turn(settings: Settings, now: datetime) -> tuple[Clock, float]:
    """Retrain, judge, swap and answer, by part; then the seconds that recording took."""
    clock = Clock()
    with loop_run(NAME, "retrain", now, settings) as run:
        began_cpu = time.process_time()
        with timed_parts(clock), clock.part("other"):
            version = _release(run, clock)
        clock.cpu = time.process_time() - began_cpu
        began = time.perf_counter()
        record_versions(run)
        recording = time.perf_counter() - began
    pointer = read_pointer(settings.store, NAME)
    if pointer is None or pointer.version != str(version):
        raise RuntimeError(f"version {version} is not served; the turn measured nothing")
    return clock, recording


def _release(run: Run, clock: Clock) -> int:
    decision = Decision(True, "measured", trigger="manual")
    trained = train_candidate(run, decision)
    if trained is None:
        raise RuntimeError("these rows train no model")
    with clock.part("gate"):
        verdict = judge_candidate(run, trained.version)
    with clock.part("swap"):
        promote(run, trained.version, _passed(verdict))
        pointer = read_pointer(run.store, NAME)
        assert pointer is not None
        model = load_model(run.store, pointer)
        model.score([0.0] * len(model.manifest.features))
    return trained.version


def _passed(verdict: Any) -> Any:
    """The verdict as if it had passed: an equal model is not promoted, and a turn must swap."""
    from dataclasses import replace

    return replace(verdict, decision=replace(verdict.decision, go=True))


def measure(name: str, n_rows: int, n_columns: int, turns: int, **changes: Any) -> dict[str, Any]:
    """Medians over turns, each with new rows; the first turn, which imports, is left out."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        settings = Settings(
            _env_file=None,
            home=home, problems=home / "problems", active=(NAME,),
            mlflow_uri=f"sqlite:///{home / 'mlflow.db'}", api_insecure=True,
        )  # fmt: skip
        write_problem(problem_of(n_columns, **changes), home / "problems")
        inbox = inbox_folder(home, NAME)
        inbox.mkdir(parents=True)
        registry.aliases(settings.tracking_uri, NAME)  # makes the database, which takes seconds
        found: list[tuple[Clock, float]] = []
        newer = max(200, n_rows // 10)
        for turn in range(turns + 1):
            first = 0 if turn == 0 else n_rows + (turn - 1) * newer
            rows(n_rows if turn == 0 else newer, n_columns, first).to_parquet(
                inbox / f"{turn}.parquet", index=False
            )
            now = START + timedelta(seconds=first + n_rows)
            with loop_run(NAME, "ingest", now, settings) as run:
                ingest_all(run)
            found.append(one_turn(settings, now))
    return _summary(name, n_rows, n_columns, found[1:])


def _summary(
    name: str, n_rows: int, n_columns: int, found: list[tuple[Clock, float]]
) -> dict[str, Any]:
    names = list(dict.fromkeys(part for clock, _ in found for part in clock.seconds))
    parts = {
        part: statistics.median(clock.seconds.get(part, 0.0) for clock, _ in found)
        for part in names
    }
    totals = [sum(clock.seconds.values()) for clock, _ in found]
    learning = [
        clock.seconds.get("fit", 0.0) + clock.seconds.get("search", 0.0) for clock, _ in found
    ]
    beyond = [total - own for total, own in zip(totals, learning, strict=True)]
    return {
        "name": name,
        "rows": n_rows,
        "columns": n_columns,
        "turns": len(found),
        "total": statistics.median(totals),
        "fit_and_search": statistics.median(learning),
        "beyond": statistics.median(beyond),
        "ratio": statistics.median(t / own for t, own in zip(totals, learning, strict=True)),
        "cpu": statistics.median(clock.cpu for clock, _ in found),
        "recording": statistics.median(recording for _, recording in found),
        "parts": parts,
    }


def table(cells: list[dict[str, Any]], load: float) -> str:
    """The results as Markdown."""
    lines = [
        "From the trigger to the first answer of the new model, seconds (medians over turns).",
        f"Load of the machine's {os.cpu_count()} cores meanwhile: {load:.1f}.",
        "",
        "| rows × columns | total | of it CPU, all threads | fit and search | beyond them "
        "| total of fit and search | recording in MLflow, afterwards |",
        "|---|---|---|---|---|---|---|",
        *(
            f"| {c['name']}: {c['rows']:,} × {c['columns']} | {c['total']:.2f} | {c['cpu']:.2f} "
            f"| {c['fit_and_search']:.2f} | {c['beyond']:.2f} | {c['ratio']:.2f} "
            f"| {c['recording']:.2f} |"
            for c in cells
        ),
        "",
        "| part | " + " | ".join(c["name"] for c in cells) + " |",
        "|---" * (len(cells) + 1) + "|",
    ]
    for part in dict.fromkeys(part for c in cells for part in c["parts"]):
        lines.append(
            f"| {part} | " + " | ".join(f"{c['parts'].get(part, 0.0):.3f}" for c in cells) + " |"
        )
    lines += [
        "",
        *(
            f"{c['name']}, as a run of the deployment `retrain` in Prefect, from the request to "
            f"the first answer of the new version: {found['total']:.2f} s "
            f"(slowest of {found['turns']}: {found['slowest']:.2f} s)."
            for c in cells
            if (found := c.get("through_prefect"))
        ),
    ]
    return "\n".join(lines) + "\n"


SEARCH_OFF = {
    "search": {"models": ["linear"], "windows": ["all"], "folds": 1, "budget_seconds": 1e-9}
}


def main() -> None:
    """Measure and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", action="store_true", help="without the 100,000 rows")
    parser.add_argument("--turns", type=int, default=5, help="of the small size; one of the large")
    chosen = parser.parse_args()
    logger.remove()
    cells = [measure("search off", 1_000, 20, chosen.turns, **SEARCH_OFF)]
    equal_passes = {"accept": "not_worse", "margin": 0.2, "min_rows": 30}
    cells[0]["through_prefect"] = measure_prefect(
        problem_of(20, gate=equal_passes, **SEARCH_OFF),
        lambda n, first: rows(n, 20, first),
        1_000,
        chosen.turns,
    )
    if not chosen.small:
        cells.append(measure("default search", 100_000, 30, 1))
    load = os.getloadavg()[1]
    text = table(cells, load)
    if not chosen.small:
        RESULTS.mkdir(exist_ok=True)
        content = {"cells": cells, "load": round(load, 1)}
        (RESULTS / "cycle.json").write_text(json.dumps(content, indent=1) + "\n")
        (RESULTS / "cycle.md").write_text(text)
    sys.stdout.write(text)


if __name__ == "__main__":
    main()
