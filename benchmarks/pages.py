"""How long each page of the status page takes with a million predictions stored.

A churn model is trained by the loop itself; then SQLite is filled with what years would leave.
Measured is the script of a page from its start to its last element, in one process, as Streamlit
runs it; a browser adds its own drawing.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import statistics
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, func, select, text

from settings import Settings, get_settings
from storage.database import dump_json, open_engine, writing
from storage.tables import metadata

RESULTS = Path(__file__).parent / "results"
PROBLEM = "churn"
N_TRAINING, N_FEATURES, ROUNDS = 1_000, 189, 5
LIMIT_SECONDS = 2.0
START = datetime(2024, 1, 1, tzinfo=UTC)
COUNTED = """
WITH RECURSIVE counted(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM counted WHERE i + 1 < :n)
"""
# Text as SQLite keeps aware times, a minute apart from one row to the next.
WHEN = "strftime('%Y-%m-%d %H:%M:%S', '2024-01-01', '+' || i || ' minutes') || '.000000'"


def begin(settings: Settings) -> None:
    """A champion that the loop trained on generated rows."""
    from flows.continual import _tick
    from flows.each import for_each
    from learning.generator import generate
    from storage.problems import load_problem, problem_folders

    inbox = settings.home / "inbox" / PROBLEM
    inbox.mkdir(parents=True)
    rows = generate(load_problem(PROBLEM, problem_folders(settings)), N_TRAINING)
    rows.to_parquet(inbox / "history.parquet", index=False)
    now = START + timedelta(days=800)
    for_each("continual", PROBLEM, now, _tick, settings)


def fill(connection: Connection, n: int) -> None:
    """A million predictions, half of them with labels, and checks, runs, batches in proportion."""
    values = dump_json([None, 26.0, "month-to-month", 98.84, 71, 3, 11.5, 2, 0, "dsl", "centre"])
    connection.execute(
        text(
            COUNTED + "INSERT INTO predictions (prediction_id, problem, model_version, key, "
            "event_time, features, prediction, probabilities, answer, created_at) SELECT "
            f"'p-' || i, '{PROBLEM}', '1', 'row-' || i, {WHEN}, :values, '\"no\"', '[0.7, 0.3]', "
            f"'{{}}', {WHEN} FROM counted"
        ),
        {"n": n, "values": values},
    )
    connection.execute(
        text(
            COUNTED + "INSERT INTO feedback (problem, prediction_id, actual, observed_at, "
            f"received_at) SELECT '{PROBLEM}', 'p-' || (2 * i), '\"no\"', {WHEN}, {WHEN} "
            "FROM counted"
        ),
        {"n": n // 2},
    )
    connection.execute(
        text(
            COUNTED + "INSERT INTO runs (run_id, problem, flow, epoch, state, clock, started_at, "
            f"ended_at) SELECT 'r-' || i, '{PROBLEM}', CASE i % 3 WHEN 0 THEN 'ingest' WHEN 1 THEN "
            f"'monitor' ELSE 'continual' END, 1, 'done', {WHEN}, {WHEN}, {WHEN} FROM counted"
        ),
        {"n": n // 10},
    )
    connection.execute(
        text(
            COUNTED + "INSERT INTO batches (problem, batch_id, source, state, n_rows, "
            f"n_quarantined, ingested_at) SELECT '{PROBLEM}', 'b-' || i, 'inbox', 'ingested', 50, "
            f"0, {WHEN} FROM counted"
        ),
        {"n": n // 50},
    )
    _checks(connection, n // 500)
    _measured(connection, n // 200)
    _apart(connection, n // 500)


def _checks(connection: Connection, n: int) -> None:
    features = [
        {
            "name": f"feature_{place:03d}", "kind": "numeric", "statistic": 0.1, "p_value": 0.01,
            "p_adjusted": 0.5, "effect": 0.05 + place / 500, "is_drifted": place % 40 == 0,
            "not_testable": None, "test": "KS", "missing_change": 0.0, "free_rows": 900.0,
            "group": f"group {place % 6}",
        }
        for place in range(N_FEATURES)
    ]  # fmt: skip
    watched = {"groups": [], "sentences": ["predictions: steady"]}
    shapes = {f"feature_{place:03d}": [83] * 15 for place in range(N_FEATURES)}
    connection.execute(
        text(
            COUNTED + "INSERT INTO drift_results (run_id, problem, model_version, is_drifted, "
            "drift_share, n_reference, n_current, reason, features, watched, shapes, clock, "
            f"checked_at) SELECT 'd-' || i, '{PROBLEM}', '1', 0, 0.03, 5000, 1000, 'steady', "
            f":features, :watched, :shapes, {WHEN}, {WHEN} FROM counted"
        ),
        {
            "n": n,
            "features": dump_json(features),
            "watched": dump_json(watched),
            "shapes": dump_json(shapes),
        },
    )


def _measured(connection: Connection, n: int) -> None:
    rivals = [{"name": "dummy", "value": 0.5, "n_rows": 500, "gain": 0.3, "gain_low": 0.2,
               "gain_high": 0.4}]  # fmt: skip
    connection.execute(
        text(
            COUNTED + "INSERT INTO performance_metrics (run_id, problem, model_version, metric, "
            "value, low, high, n_rows, label_share, is_below_floor, reason, metrics, rivals, "
            f"clock, measured_at) SELECT 'm-' || i, '{PROBLEM}', '1', 'roc_auc', 0.8, 0.75, 0.85, "
            "500, 0.5, 0, 'roc_auc 0.800', '{\"roc_auc\": 0.8}', :rivals, "
            f"{WHEN}, {WHEN} FROM counted"
        ),
        {"n": n, "rivals": dump_json(rivals)},
    )


def _apart(connection: Connection, n: int) -> None:
    connection.execute(
        text(
            COUNTED + "INSERT INTO quarantine (problem, batch_id, row_number, quarantine_reason, "
            f"row, quarantined_at, state) SELECT '{PROBLEM}', 'b-' || (i / 100), i, "
            f"'age: below 0', '{{\"age\": -1}}', {WHEN}, 'waiting' FROM counted"
        ),
        {"n": n},
    )


def measure() -> dict[str, dict[str, float]]:
    """Seconds of each page: the first look of this process, and the median and worst after it."""
    from streamlit.testing.v1 import AppTest

    from ui.frame import PAGES

    found = {}
    for page in PAGES:
        seconds, used = [], []
        for _ in range(ROUNDS + 1):
            script = f"from ui.frame import run\n\nrun({page!r})\n"
            app = AppTest.from_string(script, default_timeout=120)
            began, worked = time.perf_counter(), time.process_time()
            app.run()
            seconds.append(time.perf_counter() - began)
            used.append(time.process_time() - worked)
            if app.exception:
                raise RuntimeError(f"{page}: {app.exception[0].value}")
        first, *later = seconds
        found[page] = {
            "first_seconds": round(first, 3),
            "median_seconds": round(statistics.median(later), 3),
            "worst_seconds": round(max(later), 3),
            "cpu_seconds": round(statistics.median(used), 3),
        }
    return found


def run(n: int) -> dict[str, Any]:
    """Fill a home and measure its pages."""
    with tempfile.TemporaryDirectory(prefix="perennial-pages-") as folder:
        variables = {
            "PERENNIAL_HOME": folder,
            "PERENNIAL_ACTIVE": PROBLEM,
            "PERENNIAL_API_INSECURE": "true",
            "PERENNIAL_MLFLOW_URI": "http://127.0.0.1:9",
        }
        os.environ.update(variables)
        settings = get_settings()
        begin(settings)
        engine = open_engine(settings.sql_url)
        with writing(engine) as connection:
            fill(connection, n)
            table = metadata.tables["predictions"]
            stored = connection.execute(select(func.count()).select_from(table)).scalar_one()
        engine.dispose()
        size = (Path(folder) / "perennial.db").stat().st_size
        pages = measure()
    return {
        "predictions": stored,
        "database_mb": round(size / 1e6),
        "cpus": os.cpu_count(),
        "limit_seconds": LIMIT_SECONDS,
        "pages": pages,
    }


def table_of(results: dict[str, Any]) -> str:
    """Markdown of one run."""
    lines = [
        "# The status page\n",
        f"{results['predictions']:,} predictions in SQLite ({results['database_mb']} MB), "
        f"{N_FEATURES} features a check, {results['cpus']} processors. Seconds of a page's script; "
        f"the limit is {results['limit_seconds']:.0f}. The first look also imports what the page "
        "needs, which `python -m ui` has done before it answers. CPU is what the page costs on a "
        "machine that has nothing else to do.\n",
        "| page | first | median | worst | median CPU |",
        "|---|---:|---:|---:|---:|",
    ]
    for page, one in results["pages"].items():
        numbers = " | ".join(f"{value:.2f}" for value in one.values())
        lines.append(f"| {page} | {numbers} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000, help="predictions stored")
    n = parser.parse_args().rows
    logging.disable(logging.WARNING)
    results = run(n)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "pages.json").write_text(json.dumps(results, indent=1) + "\n")
    (RESULTS / "pages.md").write_text(table_of(results))
    print(table_of(results))  # noqa: T201


if __name__ == "__main__":
    main()
