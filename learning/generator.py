"""Rows of the shipped problems from a seeded generator that can drift."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd

from learning.generators import churn, credit, linear, maintenance
from learning.generators.draws import Floats, Source, sigmoid
from learning.problem import GeneratorDrift, Problem

SOURCES: dict[str, Source] = {
    "linear": linear.SOURCE,
    "maintenance": maintenance.SOURCE,
    "churn": churn.SOURCE,
    "credit": credit.SOURCE,
}
START = datetime(2024, 1, 1, tzinfo=UTC)
BLOCK_ROWS = 1_000


def generate(
    problem: Problem, n_rows: int, first_row: int = 0, drift: GeneratorDrift | None = None
) -> pd.DataFrame:
    """Rows ``first_row`` to ``first_row + n_rows`` of the problem's generator.

    A row depends on its number, the seed and the drift alone, however the rows are asked for.
    Columns: the key and the event time (aware UTC) where the problem names them, the features,
    the target. ``drift`` takes the place of the problem's own. Drift of ``inputs`` moves P(X) and
    keeps the relation to the target; drift of ``target`` leaves every feature as it was; ``both``
    does the two at once.
    Raises ValueError when the problem has no generator, or a row number is negative.
    """
    if problem.generator is None:
        raise ValueError(f"{problem.name}: found no generator section; expected one of {_known()}")
    if n_rows < 0 or first_row < 0:
        raise ValueError(f"found first_row {first_row}, n_rows {n_rows}; expected 0 or more")
    drift = problem.generator.drift if drift is None else drift
    first_block = first_row // BLOCK_ROWS
    last_block = max(first_row + n_rows - 1, first_row) // BLOCK_ROWS
    blocks = [_block(problem, block, drift) for block in range(first_block, last_block + 1)]
    offset = first_row - first_block * BLOCK_ROWS
    rows = blocks[0] if len(blocks) == 1 else pd.concat(blocks, ignore_index=True)
    return rows.iloc[offset : offset + n_rows].reset_index(drop=True)


def drift_amount(drift: GeneratorDrift, rows: np.ndarray, chance: Floats) -> Floats:
    """How far each row of these numbers has drifted: 0 before the start, ``strength`` when fully.

    Sudden is a step; gradual mixes old and new rows, the new ones ever more probable (``chance``
    is one uniform number per row); incremental moves in a straight line; recurring switches every
    ``length_rows``, starting with the new state.
    """
    since = rows - drift.start_row
    progress = np.clip((since + 1) / drift.length_rows, 0.0, 1.0)
    if drift.kind == "none":
        amount = np.zeros(len(rows))
    elif drift.kind == "sudden":
        amount = np.ones(len(rows))
    elif drift.kind == "gradual":
        amount = (chance < progress).astype(float)
    elif drift.kind == "incremental":
        amount = progress
    else:
        amount = (since // drift.length_rows % 2 == 0).astype(float)
    return np.asarray(np.where(since >= 0, amount, 0.0) * drift.strength)


def _block(problem: Problem, block: int, drift: GeneratorDrift) -> pd.DataFrame:
    """The BLOCK_ROWS rows of one block; each purpose has its own stream of random numbers."""
    assert problem.generator is not None
    source = SOURCES[problem.generator.name]
    draws, labels, losses, mixing = (
        np.random.default_rng([problem.generator.seed, block, purpose]) for purpose in range(4)
    )
    rows = np.arange(BLOCK_ROWS) + block * BLOCK_ROWS
    amount = drift_amount(drift, rows, mixing.random(BLOCK_ROWS))
    still = np.zeros(BLOCK_ROWS)
    columns = source.features(draws, BLOCK_ROWS, still if drift.of == "target" else amount)
    log_odds = source.log_odds(columns, still if drift.of == "inputs" else amount)
    positive = labels.random(BLOCK_ROWS) < sigmoid(log_odds)
    for name, share in source.missing.items():
        lost = losses.random(BLOCK_ROWS) < share
        empty: Any = None if columns[name].dtype == object else np.nan
        columns[name] = np.where(lost, empty, columns[name])
    frame = pd.DataFrame(columns)
    frame[problem.target] = _labels(problem, positive)
    if problem.event_time is not None:
        times = START + pd.to_timedelta(rows * source.step.total_seconds(), unit="s")
        frame.insert(0, problem.event_time, times)
    if problem.key is not None:
        keys = [f"{source.key_prefix}-{row:08d}" for row in rows.tolist()]
        frame.insert(0, problem.key, keys)
    return frame


def _labels(problem: Problem, positive: np.ndarray) -> np.ndarray:
    """The class of each row as the problem spells it; 0 and 1 stay numbers."""
    classes = problem.classes or ("0", "1")
    if classes == ("0", "1"):
        return positive.astype(np.int64)
    return np.asarray(classes, dtype=object)[positive.astype(np.intp)]


def _known() -> str:
    return ", ".join(SOURCES)
