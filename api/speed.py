"""Whether a model is much slower than the one that answers now."""

from __future__ import annotations

import time
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from api.session import OUTPUTS, ServedModel
from storage.bundles import BundleError
from storage.manifest import Manifest

TIMES_SLOWER = 3.0
# Making a prediction durable takes about as long: below this nobody notices which model answers,
# and a forest may follow a straight line.
NOTICED_SECONDS = 0.000_1
ROUNDS = 5
RUNS = 15
RUN_SECONDS = 0.05
ATTEMPTS = 3


def refuse_slow(model: ServedModel, served: ServedModel) -> None:
    """Raise BundleError ``slow`` when one row takes three times as long as it does now.

    Both are timed in turns on their golden rows. Noise only ever adds time, so the best of the
    medians counts; and a verdict is given only when every attempt comes to it.
    """
    found = expected = 0.0
    for _ in range(ATTEMPTS):
        found, expected = compare(model, served)
        if found <= max(NOTICED_SECONDS, TIMES_SLOWER * expected):
            return
    raise BundleError(
        "slow",
        f"one row takes {found * 1000:.2f} ms, with the served model {expected * 1000:.2f} ms; "
        f"expected at most {TIMES_SLOWER:.0f} times as long",
    )


def compare(model: ServedModel, served: ServedModel) -> tuple[float, float]:
    """Seconds that one row takes with either, measured in alternation."""
    rows, served_rows = golden_rows(model.manifest), golden_rows(served.manifest)
    measured = [
        (row_seconds(model.session, rows), row_seconds(served.session, served_rows))
        for _ in range(ROUNDS)
    ]
    return min(pair[0] for pair in measured), min(pair[1] for pair in measured)


def golden_rows(manifest: Manifest) -> list[NDArray[np.float32]]:
    """The golden rows as matrices of one row each."""
    return list(np.array(manifest.golden.inputs, dtype=np.float32)[:, np.newaxis, :])


def row_seconds(session: Any, rows: list[NDArray[np.float32]]) -> float:
    """Median time of one row; fewer are tried of a model that is slow indeed."""
    times: list[float] = []
    while len(times) < RUNS and (len(times) < 2 or sum(times) < RUN_SECONDS):
        row = rows[len(times) % len(rows)]
        began = time.perf_counter()
        session.run(OUTPUTS, {"input": row})
        times.append(time.perf_counter() - began)
    return median(times)
