"""False alarms where nothing drifts, and how soon drift is found; seeded.

    python -m benchmarks.alarms [--quick] [--full] [--only PART]

Each cell has 300 windows, ten against each of 30 references of 5,000 rows in time order; beside
our verdict stand that of any p < 0.05, of a tenth of the features without correction, and of
Evidently's default, whose rule is computed directly on every fifth window (its report would take
hours), on every fifteenth of 50,000 rows and 100 features. Each finished part is told on stderr.
The cells of 50,000 rows and 100 features are measured by `--full` alone; a part that was not
measured stays in the results as it was.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.alarms_limits import dependent
from benchmarks.alarms_streams import real_streams, shipped_streams, shuffled
from benchmarks.alarms_windows import (
    KINDS,
    any_raw,
    draw,
    evidently_default,
    raw_p_values,
    tenth_raw,
    upper_bound,
)
from learning.drift import judge_looks
from learning.drift_columns import look_at_all
from learning.drift_reference import summarise_stream
from learning.problem import DriftRules, Feature

RESULTS = Path(__file__).parent / "results"
RULES = DriftRules()
REFERENCE = 5_000
ROWS = (50, 500, 5_000, 50_000)
FEATURES = (5, 20, 100)
PER_REFERENCE = 10
WINDOWS = 300
EVIDENTLY_EVERY = 5
LARGE = 1_000_000  # values in a window
PARTS = ("cells", "shifts", "dependent", "streams", "real", "shuffled")


def no_drift(kind: str, n: int, n_features: int, n_windows: int, seed: int) -> dict[str, Any]:
    """Share of alarms of each rule over windows of the distribution that the reference is of."""
    rng = np.random.default_rng(seed)
    features = [Feature(name=f"n{index}") for index in range(n_features)]
    found = {"ours": 0, "any_raw": 0, "tenth_raw": 0, "evidently": 0}
    n_evidently = n_untestable = 0
    for index in range(n_windows):
        if index % PER_REFERENCE == 0:
            reference = draw(kind, REFERENCE, n_features, rng)
            kept = summarise_stream(reference, reference, features, RULES)
        current = draw(kind, n, n_features, rng)
        looks = look_at_all(kept, current, features)
        result = judge_looks(kept, looks, features, n, RULES)
        p_values = raw_p_values(looks)
        found["ours"] += result.is_drifted
        n_untestable += result.drift_share is None
        found["any_raw"] += any_raw(p_values)
        found["tenth_raw"] += tenth_raw(p_values)
        if index % (EVIDENTLY_EVERY * (3 if current.size > LARGE else 1)) == 0:
            n_evidently += 1
            found["evidently"] += evidently_default(reference, current)
    return {
        "kind": kind,
        "rows": n,
        "features": n_features,
        "windows": n_windows,
        "evidently_windows": n_evidently,
        "untestable": n_untestable,
        "alarms": found,
        "upper_bound": round(upper_bound(found["ours"], n_windows), 4),
    }


def shifted(kind: str, n_windows: int, seed: int) -> dict[str, Any]:
    """Half a standard deviation in 6 of 20 features: found in one window of 1,000, or two."""
    rng = np.random.default_rng(seed)
    features = [Feature(name=f"n{index}") for index in range(20)]
    shift = np.where(np.arange(20) < 6, np.float32(0.5), np.float32(0))
    in_one = in_two = 0
    for index in range(n_windows):
        if index % PER_REFERENCE == 0:
            reference = draw(kind, REFERENCE, 20, rng)
            kept = summarise_stream(reference, reference, features, RULES)
        both = draw(kind, 2_000, 20, rng) + shift
        verdicts = [
            judge_looks(kept, look_at_all(kept, part, features), features, 1_000, RULES).is_drifted
            for part in (both[:1_000], both[1_000:])
        ]
        in_one += verdicts[0]
        in_two += any(verdicts)
    return {"kind": kind, "pairs": n_windows, "in_one": in_one, "in_two": in_two}


def cells(n_windows: int, is_full: bool) -> list[dict[str, Any]]:
    """Cells without drift, the largest last and only if they are wanted."""
    began, found = time.perf_counter(), []
    wanted = [(kind, n, n_features) for kind in KINDS for n in ROWS for n_features in FEATURES]
    for number, (kind, n, n_features) in enumerate(wanted):
        if n * n_features <= LARGE or is_full:
            found.append(no_drift(kind, n, n_features, n_windows, number))
            sys.stderr.write(f"{time.perf_counter() - began:6.0f} s  {found[-1]}\n")
    return found


def run(chosen: argparse.Namespace) -> dict[str, Any]:
    """The parts that are wanted."""
    n, n_streams = (20, 1) if chosen.quick else (WINDOWS, 3)
    parts: dict[str, Callable[[], Any]] = {
        "cells": lambda: cells(n, chosen.full),
        "shifts": lambda: [shifted(kind, n, 100 + i) for i, kind in enumerate(KINDS)],
        "dependent": lambda: dependent(20 if chosen.quick else 100),
        "streams": lambda: shipped_streams(n_streams),
        "real": real_streams,
        "shuffled": lambda: shuffled(n),
    }
    return {name: parts[name]() for name in chosen.only or PARTS}


def together(before: dict[str, Any], found: dict[str, Any]) -> dict[str, Any]:
    """What was measured now, and of what was measured before all that was not measured again."""
    return {**before, **found, "cells": _merged(before.get("cells", ()), found.get("cells", ()))}


def _merged(*parts: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    by_name = {(c["kind"], c["rows"], c["features"]): c for part in parts for c in part}
    order = [(kind, n, n_features) for kind in KINDS for n in ROWS for n_features in FEATURES]
    return [by_name[name] for name in order if name in by_name]


def table(found: dict[str, Any]) -> str:
    """The results that there are, as Markdown."""
    writers = {
        "cells": _cells,
        "shifts": _shifts,
        "dependent": _dependent,
        "streams": _streams,
        "real": _real,
        "shuffled": _shuffled,
    }
    parts = [writer(found) for name, writer in writers.items() if found.get(name)]
    return "\n".join(line for part in parts for line in [*part, ""])


def _cells(found: dict[str, Any]) -> list[str]:
    lines = [
        "## No drift: share of checks with an alarm",
        "",
        f"Reference of {REFERENCE:,} rows. Upper bound: 95%, one-sided (Clopper and Pearson). "
        "“Says nothing”: windows whose rows are worth too few free ones.",
        "",
        "| features are | rows | features | windows | ours | upper bound | says nothing "
        "| any p < 0.05 | 10% of features, uncorrected | Evidently's default |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for cell in found["cells"]:
        n, alarms = cell["windows"], cell["alarms"]
        rivals = [f"{alarms[name] / n:.1%}" for name in ("any_raw", "tenth_raw")]
        rivals.append(f"{alarms['evidently'] / cell['evidently_windows']:.1%}")
        lines.append(
            f"| {cell['kind']} | {cell['rows']:,} | {cell['features']} | {n} "
            f"| {alarms['ours'] / n:.1%} | {cell['upper_bound']:.1%} "
            f"| {cell['untestable'] / n:.0%} | {' | '.join(rivals)} |"
        )
    total = sum(cell["windows"] for cell in found["cells"])
    alarms = sum(cell["alarms"]["ours"] for cell in found["cells"])
    bound = upper_bound(alarms, total)
    lines += [
        "",
        f"All cells: {alarms} of {total:,} windows ({alarms / total:.2%}, ≤ {bound:.2%}).",
    ]
    return lines


def _shifts(found: dict[str, Any]) -> list[str]:
    lines = [
        "## Drift: half a standard deviation in 6 of 20 features, windows of 1,000 rows",
        "",
        "| features are | found in one window | found within two |",
        "|---|---|---|",
    ]
    for row in found["shifts"]:
        one, two = row["in_one"] / row["pairs"], row["in_two"] / row["pairs"]
        lines.append(f"| {row['kind']} | {one:.1%} | {two:.1%} |")
    return lines


def _dependent(found: dict[str, Any]) -> list[str]:
    lines = [
        "## The same drift in dependent rows, by the size of the window",
        "",
        "Each row keeps nine tenths of the one before. Our rule fed by the best test of each "
        "feature, and χ² of all means at once, know variances that ours has to estimate.",
        "",
        "| rows | worth, in free rows | windows | ours | best of single features "
        "| best of all at once |",
        "|---|---|---|---|---|---|",
    ]
    for row in found["dependent"]:
        lines.append(
            f"| {row['rows']:,} | {row['free_rows']} | {row['windows']} | {row['ours']:.0%} "
            f"| {row['best_of_single']:.0%} | {row['best_of_all']:.0%} |"
        )
    return lines


def _streams(found: dict[str, Any]) -> list[str]:
    lines = [
        "## Shipped generators: drift of the inputs from row 10,000 on",
        "",
        "Reference: the first 5,000 rows. The newest 1,000 rows are checked every 250.",
        "",
        "| problem | drift | streams | found | rows until found, median "
        "| alarms before, of checks |",
        "|---|---|---|---|---|---|",
    ]
    for row in found["streams"]:
        delay = "" if row["delay_rows"] is None else f"{row['delay_rows']:,}"
        lines.append(
            f"| {row['problem']} | {row['drift']} | {row['streams']} | {row['found']} | {delay} "
            f"| {row['false_alarms']} of {row['checks_before']} |"
        )
    return lines


def _real(found: dict[str, Any]) -> list[str]:
    lines = [
        "## Real data in time order",
        "",
        "The newest 1,000 rows behind the reference are checked every 250.",
        "",
        "| data | reference rows | first alarm, rows behind | checks with alarm | worst then |",
        "|---|---|---|---|---|",
    ]
    for row in found["real"]:
        first = "none" if row["first_alarm"] is None else f"{row['first_alarm']:,}"
        lines.append(
            f"| {row['data']} | {row['reference_rows']:,} | {first} "
            f"| {row['alarms']} of {row['checks']} | {row['worst'] or ''} |"
        )
    return lines


def _shuffled(found: dict[str, Any]) -> list[str]:
    lines = [
        "## Real data, shuffled: no drift",
        "",
        "| data | features | windows of 1,000 | alarms | upper bound |",
        "|---|---|---|---|---|",
    ]
    for row in found["shuffled"]:
        lines.append(
            f"| {row['data']} | {row['features']} | {row['windows']} | {row['alarms']} "
            f"| {row['upper_bound']:.1%} |"
        )
    return lines


def main() -> None:
    """Measure and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="20 windows a cell; writes nothing")
    parser.add_argument("--full", action="store_true", help="the largest cells as well")
    parser.add_argument("--only", action="append", choices=PARTS, help="this part alone")
    chosen = parser.parse_args()
    found = run(chosen)
    if not chosen.quick:
        kept = RESULTS / "alarms.json"
        found = together(json.loads(kept.read_text()) if kept.exists() else {}, found)
        kept.write_text(json.dumps(found, indent=1) + "\n")
        (RESULTS / "alarms.md").write_text(table(found))
    sys.stdout.write(table(found))


if __name__ == "__main__":
    main()
