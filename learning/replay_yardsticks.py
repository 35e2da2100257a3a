"""What costs next to nothing and must be beaten: the last label, the commonest label."""

from __future__ import annotations

import numpy as np

from learning.performance_rivals import as_output
from learning.replay_stream import Stream
from learning.rows import Floats


def no_change(stream: Stream) -> Floats:
    """Outputs [n, classes or 1] of saying the last label that had arrived; NaN before the first."""
    y = stream.rows.y
    place = np.searchsorted(stream.known_at, np.arange(len(stream)), "right") - 1
    # The newest row with a label among those whose label had the time to arrive.
    newest = np.maximum.accumulate(np.where(np.isnan(y), -1, np.arange(len(y))))
    place = np.where(place >= 0, newest[np.maximum(place, 0)], -1)
    return as_output(np.append(y, np.nan)[place], len(stream.schema.classes))


def majority(stream: Stream) -> Floats:
    """Outputs of saying the commonest label that is known, or the median value.

    It is counted anew at each turn of the loop; NaN before the first.
    """
    said = np.full(len(stream), np.nan)
    for position in stream.positions:
        known = stream.labelled(position).y
        if len(known):
            block = slice(position, position + stream.batch_rows)
            said[block] = _commonest(known, len(stream.schema.classes))
    return as_output(said, len(stream.schema.classes))


def _commonest(known: Floats, n_classes: int) -> float:
    if not n_classes:
        return float(np.median(known))
    return float(np.bincount(known.astype(np.intp), minlength=n_classes).argmax())
