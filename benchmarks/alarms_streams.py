"""Streams in time order: the shipped generators and real data, with drift and shuffled."""

from __future__ import annotations

import statistics
from typing import Any

import numpy as np

from benchmarks.alarms_windows import read, upper_bound
from learning.drift import DriftResult, check_drift
from learning.drift_reference import ReferenceStatistics, summarise_stream
from learning.generator import generate
from learning.problem import DriftKind, DriftRules, Feature, GeneratorDrift
from learning.rows import Matrix, encode_features
from settings import Settings
from storage.problems import load_problem, problem_folders

RULES = DriftRules()
REFERENCE, WINDOW, EVERY = 5_000, 1_000, 250
DRIFT_AT, LAST = 10_000, 16_000
PROBLEMS = ("linear", "maintenance", "churn", "credit")
DRIFTS: tuple[DriftKind, ...] = ("sudden", "gradual", "recurring")
# Reference rows, and columns that are the target, know it, or are a clock.
REAL = {
    "bike_sharing_hourly": (
        5_000,
        ("instant", "dteday", "yr", "mnth", "season", "casual", "registered", "cnt"),
    ),
    "bank_marketing": (5_000, ("year_derived", "y", "month", "duration")),
    "elec2": (10_000, ("timestamp_derived", "date", "day", "period", "class")),
    "occupancy": (5_000, ("date", "Occupancy", "source_file")),
}
SHUFFLED = {
    "adult": ("income", "split"),
    "telco_churn": ("customerID", "Churn"),
    "taiwan_credit_default": ("ID", "default.payment.next.month"),
}


def _checks(
    kept: ReferenceStatistics, rows: Matrix, features: list[Feature], first: int
) -> list[tuple[int, DriftResult]]:
    """A check of the newest rows behind the reference at every 250th row."""
    return [
        (end, check_drift(kept, rows[max(first, end - WINDOW) : end], features, RULES))
        for end in range(first + EVERY, len(rows) + 1, EVERY)
    ]


def shipped_streams(n_streams: int) -> list[dict[str, Any]]:
    """Each shipped problem with each kind of drift."""
    return [_shipped(name, drift, n_streams) for name in PROBLEMS for drift in DRIFTS]


def _shipped(name: str, drift: DriftKind, n_streams: int) -> dict[str, Any]:
    problem = load_problem(name, problem_folders(Settings(_env_file=None)))
    delays, false_alarms, before = [], 0, 0
    for seed in range(n_streams):
        assert problem.generator is not None
        source = problem.generator.model_copy(update={"seed": problem.generator.seed + seed})
        change = GeneratorDrift(kind=drift, of="inputs", start_row=DRIFT_AT)
        frame = generate(problem.model_copy(update={"generator": source}), LAST, drift=change)
        features = list(problem.features)
        rows = encode_features(frame, features)
        kept = summarise_stream(rows[:REFERENCE], rows[:REFERENCE], features, RULES)
        checks = _checks(kept, rows, features, REFERENCE)
        calm = [result.is_drifted for end, result in checks if end <= DRIFT_AT]
        before += len(calm)
        false_alarms += sum(calm)
        later = [end for end, result in checks if end > DRIFT_AT and result.is_drifted]
        delays += [later[0] - DRIFT_AT] if later else []
    return {
        "problem": name,
        "drift": drift,
        "streams": n_streams,
        "found": len(delays),
        "delay_rows": int(statistics.median(delays)) if delays else None,
        "false_alarms": false_alarms,
        "checks_before": before,
    }


def real_streams() -> list[dict[str, Any]]:
    """Real data with drift, in time order."""
    found = []
    for name, (size, drop) in REAL.items():
        rows, features = read(name, drop)
        kept = summarise_stream(rows[:size], rows[:size], features, RULES)
        checks = _checks(kept, rows, features, size)
        alarmed = [(end, result) for end, result in checks if result.is_drifted]
        worst = [f for f in alarmed[0][1].features if f.is_drifted] if alarmed else []
        worst.sort(key=lambda f: f.effect or 0.0, reverse=True)
        found.append(
            {
                "data": name,
                "reference_rows": size,
                "checks": len(checks),
                "alarms": len(alarmed),
                "first_alarm": alarmed[0][0] - size if alarmed else None,
                "worst": ", ".join(f.name for f in worst[:3]) or None,
            }
        )
    return found


def shuffled(n_windows: int) -> list[dict[str, Any]]:
    """Real data in random order, three windows for each order."""
    found = []
    for number, (name, drop) in enumerate(SHUFFLED.items()):
        rows, features = read(name, drop)
        rng = np.random.default_rng(number)
        size = min(REFERENCE, len(rows) - 3 * WINDOW)
        alarms = 0
        for index in range(n_windows):
            if index % 3 == 0:
                order = rows[rng.permutation(len(rows))]
                kept = summarise_stream(order[:size], order[:size], features, RULES)
            first = size + index % 3 * WINDOW
            alarms += check_drift(kept, order[first : first + WINDOW], features, RULES).is_drifted
        found.append(
            {
                "data": name,
                "features": len(features),
                "windows": n_windows,
                "alarms": alarms,
                "upper_bound": round(upper_bound(alarms, n_windows), 4),
            }
        )
    return found
