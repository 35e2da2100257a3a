"""The story that a demo tells: a problem, its rows in time order, and when drift begins."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from learning.generator import generate
from learning.inference import infer_problem
from learning.inference_columns import as_times
from learning.problem import GeneratorDrift, Problem
from learning.rows import EVENT_TIME, LABEL, Rows, Schema, encode
from learning.spans import Span
from operate.begin import problem_name
from storage.problems import SHIPPED, load_problem
from storage.tabular import read_table

N_BLOCKS = 40
SHIPPED_ROWS = 8_000
SHIPPED_BLOCKS = 20
DRIFT_AT = 3_600
FEWEST_ROWS = 500


class DemoError(Exception):
    """The demo cannot tell a story about this; the message says why and what to do."""


@dataclass(frozen=True)
class Story:
    """Rows in the order in which they arrive, and how they are served.

    ``frame`` holds the original columns, ``rows`` the same encoded; the first ``n_first`` train
    the first champion, the rest are predicted in blocks of ``block_rows`` and their labels follow
    ``delay_rows`` later. ``drift_row`` is None where nobody knows when drift begins.
    """

    problem: Problem
    schema: Schema
    frame: pd.DataFrame
    rows: Rows
    times: pd.Series[Any]
    n_first: int
    block_rows: int
    delay_rows: int
    drift_row: int | None
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.frame)

    def request(self, index: int) -> dict[str, Any]:
        """The body of one row's ``/predict`` request."""
        row = self.frame.iloc[index]
        body: dict[str, Any] = {
            "features": {f.name: plain(row[f.name]) for f in self.schema.features},
            "event_time": self.times.iloc[index].isoformat(),
        }
        if self.problem.key:
            body["key"] = str(row[self.problem.key])
        return body

    def actual(self, index: int) -> Any:
        """The label of one row, as ``/feedback`` takes it."""
        return plain(self.frame[self.problem.target].iloc[index])


def plain(value: Any) -> Any:
    """A cell as JSON knows it."""
    if pd.isna(value):
        return None
    return value.item() if isinstance(value, np.generic) else value


def shipped_story() -> Story:
    """Predictive maintenance whose inputs and relation both change, some time into the stream."""
    problem = load_problem("maintenance", (SHIPPED,))
    drift = GeneratorDrift(kind="sudden", of="both", start_row=DRIFT_AT, strength=0.8)
    frame = generate(problem, SHIPPED_ROWS, 0, drift)
    problem = problem.model_copy(
        update={
            "sources": ("inbox", "feedback"),
            "label_delay": Span.parse(SHIPPED_ROWS // 200),
            "windows": problem.windows.model_copy(
                update={"bootstrap_rows": 500, "current_rows": 500}
            ),
            "retrain": problem.retrain.model_copy(
                update={
                    "min_new_rows": 300,
                    "cooldown": Span.parse("1m"),
                    "circuit_pause": Span.parse("1m"),
                    "daily_budget": 24,
                }
            ),
        }
    )
    return _story(problem, frame, SHIPPED_BLOCKS, DRIFT_AT)


def own_story(
    path: Path, target: str, event_time: str | None, key: str | None, drop: tuple[str, ...]
) -> Story:
    """A person's own file, in its time order.

    Raises TableError, InferenceError or DemoError when it cannot be read or learnt.
    """
    if not path.is_file():
        raise DemoError(f"found no file {str(path)!r}; expected a CSV, CSV.gz or Parquet file")
    frame = read_table(path)
    inferred = infer_problem(
        frame, target, name=problem_name(path), event_time=event_time, key=key, drop=drop
    )
    frame = frame[frame[target].notna()].reset_index(drop=True)
    if len(frame) < FEWEST_ROWS:
        raise DemoError(
            f"{path.name}: {len(frame)} rows with a label; the demo needs {FEWEST_ROWS} or more"
        )
    problem = inferred.problem.model_copy(
        update={
            "label_delay": Span.parse(max(10, len(frame) // 200)),
            # The stream runs through months in minutes: rows are the brake, not hours.
            "retrain": inferred.problem.retrain.model_copy(
                update={
                    "cooldown": Span.parse("1m"),
                    "circuit_pause": Span.parse("1m"),
                    "daily_budget": 50,
                }
            ),
        }
    )
    notes = (*inferred.notes, *(f"warning: {text}" for text in inferred.warnings))
    return _story(problem, frame, N_BLOCKS, None, notes)


def _story(
    problem: Problem,
    frame: pd.DataFrame,
    n_blocks: int,
    drift_row: int | None,
    notes: tuple[str, ...] = (),
) -> Story:
    frame, times = _in_time_order(frame, problem)
    schema = Schema.of(problem)
    encoded = frame.copy()
    encoded[EVENT_TIME] = times
    encoded[LABEL] = frame[problem.target]
    rows = encode(encoded, schema)
    n_first = len(frame) // 5
    if schema.task != "regression" and len(np.unique(rows.y[:n_first])) < 2:
        raise DemoError(
            f"the first fifth of the rows ({n_first}) holds one class of {problem.target!r} only; "
            "no first champion can be trained on it: give more rows, or --event-time"
        )
    block = max(20, -(-(len(frame) - n_first) // n_blocks))
    delay = problem.label_delay.rows or 0
    return Story(problem, schema, frame, rows, times, n_first, block, delay, drift_row, notes)


def _in_time_order(frame: pd.DataFrame, problem: Problem) -> tuple[pd.DataFrame, pd.Series[Any]]:
    if problem.event_time is None:
        minutes = pd.to_timedelta(np.arange(len(frame)), unit="min")
        times = pd.Series(pd.Timestamp("2024-01-01", tz="UTC") + minutes)
        return frame, times
    found = as_times(frame[problem.event_time])
    if found is None or found.isna().any():
        raise DemoError(f"column {problem.event_time!r} holds rows without a time")
    order = np.argsort(found.to_numpy(), kind="stable")
    return frame.iloc[order].reset_index(drop=True), found.iloc[order].reset_index(drop=True)
