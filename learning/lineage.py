"""Which rows a model was fitted on: named by their places, proven by a hash of all they hold."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from learning.rows import EVENT_TIME, Rows

SOURCE = "_source"


@dataclass(frozen=True)
class RowsUsed:
    """Rows of a frame of observations: how many, their hash, first and last event time, sources.

    ``spans`` are their places in the frame, as pairs of a first place and the one behind the last.
    """

    n_rows: int
    sha256: str
    first: str | None
    last: str | None
    sources: dict[str, int]
    spans: tuple[tuple[int, int], ...]


def used(frame: pd.DataFrame, rows: Rows) -> RowsUsed:
    """The rows of ``frame``, from which ``rows`` were encoded.

    Raises ValueError for rows that come from no frame.
    """
    if rows.place is None:
        raise ValueError("these rows come from no frame: their places are not known")
    found = frame.iloc[rows.place]
    times = found[EVENT_TIME]
    sources = found[SOURCE].value_counts()
    return RowsUsed(
        len(found),
        digest(found),
        times.min().isoformat() if len(found) else None,
        times.max().isoformat() if len(found) else None,
        {str(name): int(count) for name, count in sorted(sources.items())},
        spans(rows.place),
    )


def spans(place: NDArray[np.int64]) -> tuple[tuple[int, int], ...]:
    """Runs of neighbouring places, as first and behind the last.

    >>> spans(np.array([0, 1, 2, 7, 9, 10]))
    ((0, 3), (7, 8), (9, 11))
    """
    if not len(place):
        return ()
    breaks = np.flatnonzero(np.diff(place) != 1) + 1
    runs = np.split(place, breaks)
    return tuple((int(run[0]), int(run[-1]) + 1) for run in runs)


def rows_at(frame: pd.DataFrame, of: Sequence[Sequence[int]]) -> pd.DataFrame:
    """The rows of a frame that stand at these spans, in their order; fewer where it ends before."""
    return pd.concat([frame.iloc[first:behind] for first, behind in of]) if of else frame.iloc[:0]


def digest(frame: pd.DataFrame) -> str:
    """SHA-256 over all columns by name, each with its values in the order of the rows.

    Numbers count as float64 with one NaN, times as microseconds since 1970, anything else as text
    led by its length; whatever else a library keeps of a column does not count.
    """
    total = hashlib.sha256(f"{len(frame)} rows".encode())
    for name in sorted(frame.columns):
        total.update(f"\n{name}\n".encode())
        total.update(_bytes(frame[name]))
    return total.hexdigest()


def _bytes(column: pd.Series[Any]) -> bytes:
    if isinstance(column.dtype, pd.DatetimeTZDtype):
        times = column.dt.tz_convert("UTC").dt.tz_localize(None)
        return bytes(times.to_numpy(dtype="datetime64[us]").astype("<i8").tobytes())
    if column.dtype.kind in "fiub":
        values = column.to_numpy(dtype="<f8", na_value=np.nan)
        return bytes(np.where(np.isnan(values), np.nan, values).tobytes())
    gaps, texts = column.isna().tolist(), map(str, column.tolist())
    # All gaps at once: asked of each value by itself, they take most of the time.
    told = ("-1:" if is_gap else f"{len(v)}:{v}" for is_gap, v in zip(gaps, texts, strict=True))
    return "".join(told).encode()
