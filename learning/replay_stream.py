"""A stream as a replay sees it: rows in event-time order, and when the label of each arrives."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learning.rows import Rows, Schema
from learning.spans import Span

FEWEST_BATCH_ROWS = 20


@dataclass(frozen=True)
class Stream:
    """History to be replayed.

    A position p stands for the moment at which p rows have happened. ``known_at`` [n] is the first
    position at which the label of a row may be used; it never decreases. The loop runs when each
    ``batch_rows`` rows have come. ``drift_rows`` are the rows at which drift is known to begin;
    None where nobody knows, empty where it is known that nothing drifts.
    """

    rows: Rows
    schema: Schema
    known_at: NDArray[np.int64]
    label_delay: Span
    batch_rows: int
    drift_rows: tuple[int, ...] | None = None

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def positions(self) -> range:
        """When the loop runs, the end excluded: nothing is predicted after it."""
        return range(self.batch_rows, len(self), self.batch_rows)

    def clock(self, position: int) -> datetime:
        """The simulated time: when the newest row happened."""
        found: datetime = self.rows.times[position - 1].astype("datetime64[us]").item()
        return found.replace(tzinfo=UTC)

    def n_known(self, position: int) -> int:
        """How many rows, from the first on, have had the time for their label to arrive."""
        return int(np.searchsorted(self.known_at, position, "right"))

    def labelled(self, position: int) -> Rows:
        """The rows whose label is known at a position."""
        return self.rows.part(slice(0, self.n_known(position))).labelled

    @property
    def delay_rows(self) -> int:
        """The label delay in rows; of one that is given in time, the median."""
        if self.label_delay.rows is not None:
            return self.label_delay.rows
        waits = self.known_at - np.arange(1, len(self) + 1)
        return int(np.median(waits)) if len(waits) else 0


def make_stream(
    rows: Rows,
    schema: Schema,
    label_delay: Span,
    batch_rows: int,
    drift_rows: tuple[int, ...] | None = None,
) -> Stream:
    """A stream of rows in event-time order. Raises ValueError when there is too little of it."""
    if batch_rows < 1:
        raise ValueError(f"batch: found {batch_rows}; expected 1 row or more")
    if len(rows) < 2 * batch_rows:
        raise ValueError(f"found {len(rows)} rows; a replay needs at least {2 * batch_rows}")
    known_at = arrivals(rows.times, label_delay)
    return Stream(rows, schema, known_at, label_delay, batch_rows, drift_rows)


def arrivals(times: NDArray[np.datetime64], delay: Span) -> NDArray[np.int64]:
    """The first position at which the label of each row [n] may be used.

    ``delay`` rows after it have happened, or when a row has happened that is so much later.
    """
    if delay.rows is not None:
        return np.arange(1, len(times) + 1) + delay.rows
    due = times + np.timedelta64(delay.time, "us")
    later = np.searchsorted(times, due, "left") + 1
    return np.asarray(np.maximum(later, np.arange(1, len(times) + 1)), dtype=np.int64)


def usual_batch(n_rows: int, min_rows: int) -> int:
    """Rows between two turns of the loop: as few as give a verdict, and no more than 1,000 turns.

    ``min_rows`` is what a drift check needs.
    """
    return max(FEWEST_BATCH_ROWS, min(min_rows, n_rows // 40), -(-n_rows // 1_000))


def part_of(stream: Stream, first: int, end: int) -> Stream:
    """Rows ``first`` to ``end`` as a stream of its own, whose drift is counted from its start."""
    drift = stream.drift_rows
    inside = None if drift is None else tuple(row - first for row in drift if first < row < end)
    rows = stream.rows.part(slice(first, end))
    return make_stream(rows, stream.schema, stream.label_delay, stream.batch_rows, inside)


def segments(stream: Stream, n_segments: int) -> tuple[Stream, ...]:
    """The stream cut into parts of about the same length, each replayed from its own start."""
    edges: Any = np.linspace(0, len(stream), n_segments + 1).astype(int).tolist()
    return tuple(part_of(stream, first, end) for first, end in pairwise(edges))
