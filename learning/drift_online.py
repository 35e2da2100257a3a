"""Concept drift: has the error of the served answers changed while they came in?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from learning.problem import Task
from learning.rows import Floats

FEWEST_ROWS = 100
DELTA = 0.002


@dataclass(frozen=True)
class ConceptDrift:
    """What the detector says of a stream of errors, oldest first.

    ``changed_at`` is the row from which the error is another one, None where it is not;
    ``before`` and ``after`` are its means on both sides, in [0, 1]. Only a rise is drift.
    """

    is_drifted: bool
    n_rows: int
    changed_at: int | None
    before: float | None
    after: float | None
    reason: str


def row_errors(task: Task, y: Floats, output: Floats) -> Floats:
    """Error of each answer, in [0, 1].

    Half the Brier score of the probabilities [n, classes]; of values [n, 1] the absolute error
    as a share of its 99% quantile, above which all count the same.
    """
    if task == "regression":
        error = np.abs(y - output[:, 0])
        top = float(np.quantile(error, 0.99)) if len(error) else 0.0
        return np.clip(error / top, 0.0, 1.0) if top > 0 else np.zeros(len(error))
    wanted = y.astype(np.int64)[:, None] == np.arange(output.shape[1])
    return np.asarray(((output - wanted) ** 2).sum(axis=1) / 2)


def watch_errors(errors: Floats, delta: float = DELTA) -> ConceptDrift:
    """Run ADWIN (Bifet and Gavaldà 2007) over errors in [0, 1], oldest first.

    It keeps the longest window whose halves do not differ and cuts it where they do; ``delta``
    bounds the chance of a false cut. The last cut is reported, and is drift if the error rose.
    """
    n = len(errors)
    if n < FEWEST_ROWS:
        reason = f"not testable: {n} labels are fewer than {FEWEST_ROWS}"
        return ConceptDrift(False, n, None, None, None, reason)
    from river.drift import ADWIN

    detector = ADWIN(delta=delta)
    cut = 0
    for index, error in enumerate(errors.tolist()):
        detector.update(error)
        if detector.drift_detected:
            cut = index + 1 - int(detector.width)
    if cut <= 0:
        mean = float(errors.mean())
        return ConceptDrift(
            False, n, None, mean, mean, f"error {mean:.3f}, steady over {n:,} labels"
        )
    before, after = float(errors[:cut].mean()), float(errors[cut:].mean())
    way = "rose" if after > before else "fell"
    reason = f"error {way} from {before:.3f} to {after:.3f}, {n - cut:,} labels ago"
    return ConceptDrift(after > before, n, cut, before, after, reason)
