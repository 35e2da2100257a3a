"""Seconds of one drift check of 189 columns, beside the limit of sorting them once.

    python -m benchmarks.drift [--quick] [--full]

The current window is compared with a stored reference: of as many rows, and of 5,000, which is
what a bundle holds by default. The limit sorts each column of the window once with numpy, as it
comes (rows one after the other, as a check gets them) and as contiguous columns. scipy is a loop
over `ks_2samp` with asymptotic p-values, Evidently its drift preset with KS, at 10,000 rows and
on a ninth of the columns only, times nine.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
import tracemalloc
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from learning.drift import check_drift
from learning.drift_reference import ReferenceStatistics, from_arrays, summarise, to_arrays
from learning.problem import DriftRules, Feature
from learning.rows import Matrix

RESULTS = Path(__file__).parent / "results"
N_COLUMNS = 189
SIZES = (10_000, 100_000, 1_000_000)
STORED = 5_000
TURNS = {10_000: 60, 100_000: 9, 1_000_000: 2}
EVIDENTLY_PART = 9
RULES = DriftRules()
FEATURES = [Feature(name=f"n{index}") for index in range(N_COLUMNS)]


def window(n: int, seed: int) -> Matrix:
    """Rows of 189 columns: a third each continuous, rounded and counts, 2% missing in each."""
    rng = np.random.default_rng(seed)
    rows = rng.standard_normal((n, N_COLUMNS), dtype=np.float32)
    np.round(rows[:, 1::3], 2, out=rows[:, 1::3])
    np.round(np.abs(rows[:, 2::3] * 3), 0, out=rows[:, 2::3])
    for column in range(N_COLUMNS):
        rows[rng.integers(0, n, n // 50), column] = np.nan
    return rows


def sort_each(rows: Matrix) -> None:
    """The limit."""
    for column in range(rows.shape[1]):
        np.sort(rows[:, column])


def loop_scipy(reference: Matrix, current: Matrix) -> None:
    """What is commonly written by hand; missing values are left out, or it says nothing."""
    from scipy import stats

    for column in range(reference.shape[1]):
        sides = (side[~np.isnan(side[:, column]), column] for side in (reference, current))
        stats.ks_2samp(*sides, method="asymp")


def run_evidently(reference: Matrix, current: Matrix) -> None:
    """Evidently's drift preset with KS on each of these columns."""
    from evidently import DataDefinition, Dataset, Report
    from evidently.presets import DataDriftPreset

    names = [feature.name for feature in FEATURES[: reference.shape[1]]]
    definition = DataDefinition(numerical_columns=names)
    sides = [
        Dataset.from_pandas(pd.DataFrame(side, columns=names), data_definition=definition)
        for side in (reference, current)
    ]
    Report([DataDriftPreset(num_method="ks")]).run(current_data=sides[1], reference_data=sides[0])


def seconds(what: Callable[[], object]) -> float:
    """Wall seconds of one call."""
    began = time.perf_counter()
    what()
    return time.perf_counter() - began


def measure(n: int, turns: int, with_rivals: bool) -> dict[str, Any]:
    """Medians of all sides, taken in turns, so that a busy machine slows each alike."""
    current, same = window(n, 1), window(n, 2)
    columns = np.asfortranarray(current)
    kept = {str(n): _stored(same), str(STORED): _stored(same[:STORED])}
    sides: dict[str, Callable[[], object]] = {
        "limit": lambda: sort_each(current),
        "limit_contiguous": lambda: sort_each(columns),
        **{
            f"ours_{size}": partial(check_drift, stored, current, FEATURES, RULES)
            for size, stored in kept.items()
        },
    }
    taken: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(turns + 1):
        for name, what in sides.items():
            taken[name].append(seconds(what))
    found: dict[str, Any] = {name: statistics.median(t[1:]) for name, t in taken.items()}
    found |= {f"best_{name}": min(t[1:]) for name, t in taken.items()}
    if with_rivals:
        found["scipy"] = seconds(lambda: loop_scipy(same, current))
    if n == SIZES[0]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            part = slice(0, N_COLUMNS // EVIDENTLY_PART)
            run_evidently(same[:1_000, part], current[:1_000, part])
            taken_by_part = seconds(lambda: run_evidently(same[:, part], current[:, part]))
            found["evidently"] = EVIDENTLY_PART * taken_by_part
    return {"rows": n, **found}


def _stored(rows: Matrix) -> ReferenceStatistics:
    """As it comes out of a bundle."""
    return from_arrays(to_arrays(summarise(rows, FEATURES)))


def memory(n: int) -> dict[str, Any]:
    """Most memory in MB that one check of n rows against 5,000 holds beside its window."""
    kept, current = summarise(window(STORED, 2), FEATURES), window(n, 1)
    check_drift(kept, current[:1_000], FEATURES, RULES)
    tracemalloc.start()
    check_drift(kept, current, FEATURES, RULES)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return {"rows": n, "window_mb": current.nbytes / 1e6, "more_mb": peak / 1e6}


def table(cells: list[dict[str, Any]], used: list[dict[str, Any]], load: float) -> str:
    """The results as Markdown."""
    lines = [
        f"One check of {N_COLUMNS} columns, seconds (medians; all in turns on one machine).",
        f"Load of the machine's {os.cpu_count()} cores meanwhile: {load:.1f}.",
        "",
        "| rows | limit: sort each column | ours, reference of 5,000 | of the limit "
        "| ours, reference of as many | of the limit | contiguous limit | scipy loop | Evidently |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for cell in cells:
        ours = cell[f"ours_{STORED}"], cell[f"ours_{cell['rows']}"]
        of = [f"{seconds:.4f} | {seconds / cell['limit']:.2f}" for seconds in ours]
        others = [f"{cell[name]:.2f}" if name in cell else "" for name in ("scipy", "evidently")]
        lines.append(
            f"| {cell['rows']:,} | {cell['limit']:.4f} | {of[0]} | {of[1]} "
            f"| {cell['limit_contiguous']:.4f} | {' | '.join(others)} |"
        )
    lines += ["", "Memory that a check takes on top of its window:", ""]
    lines += ["| rows | window, MB | more, MB |", "|---|---|---|"]
    lines += [f"| {m['rows']:,} | {m['window_mb']:,.0f} | {m['more_mb']:,.0f} |" for m in used]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="without the million rows")
    parser.add_argument("--full", action="store_true", help="scipy's loop on a million rows, too")
    chosen = parser.parse_args()
    sizes = SIZES[:2] if chosen.quick else SIZES
    cells = [measure(n, TURNS[n], n < SIZES[2] or chosen.full) for n in sizes]
    used = [memory(n) for n in sizes]
    load = os.getloadavg()[1]
    text = table(cells, used, load)
    if not chosen.quick:
        RESULTS.mkdir(exist_ok=True)
        content = {"columns": N_COLUMNS, "cells": cells, "memory": used, "load": round(load, 1)}
        (RESULTS / "drift.json").write_text(json.dumps(content, indent=1) + "\n")
        (RESULTS / "drift.md").write_text(text)
    sys.stdout.write(text)


if __name__ == "__main__":
    main()
