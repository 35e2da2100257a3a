"""What a stage of a rollout has seen: the same live rows as both versions score them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from sqlalchemy import Row

from learning.onnx_export import open_graph
from learning.paired import Pair, estimate_gain
from learning.rollout import (
    Latency,
    Look,
    Seen,
    agreement,
    confidence_of,
    is_complete,
    is_look_due,
    score_shift,
)
from learning.rows import Floats, Matrix, encode_features, encode_labels
from storage import rollouts
from storage.bundles import BundleError
from storage.database import reading
from storage.manifest import cut
from storage.pointers import acknowledgements
from tasks.champion import Champion, load_champion, rival_output, served_frame
from tasks.performance import mature_until
from tasks.run import Run

# The newest rows of a stage are looked at; what came before is counted.
MOST_ROWS = 2_000
MOST_LABELLED = 20_000
TIMED_ROWS = 30
ROUNDS = 5


@dataclass(frozen=True)
class Looked:
    """How often a stage's versions were compared by labels, and on how many rows the last time."""

    n_looks: int = 0
    n_rows: int = 0


def see(run: Run, stage: Row[Any], errors: str | None = None) -> tuple[Seen, Looked]:
    """What a running stage has seen by now; ``errors`` is what is wrong with the API's answers.

    A comparison by labels is made when one is due, and only then. Raises BundleError when the
    version that it is compared with cannot be read.
    """
    elapsed = run.now - stage.clock
    looked = Looked(**stage.evidence.get("looked", {}))
    trouble = _refusal(run, stage) or (errors if stage.stage == "canary" else None)
    try:
        new = _load(run, stage.version)
    except BundleError as error:
        return Seen(0, elapsed, trouble=trouble or f"its bundle is damaged: {error}"), looked
    old = _load(run, stage.against)
    n_labelled = _count_labelled(run, stage)
    n_rows = n_labelled if stage.stage == "probation" else _count_live(run, stage)
    is_last = is_complete(stage.stage, n_rows, elapsed, run.problem.rollout)
    look = None
    if is_look_due(
        n_labelled, looked.n_looks, looked.n_rows, is_last, run.problem.rollout.min_rows
    ):
        look = _look(run, stage, new, old, looked.n_looks + 1)
        looked = Looked(looked.n_looks + 1, n_labelled)
    if stage.stage == "probation":
        return Seen(n_rows, elapsed, look=look, trouble=trouble), looked
    return _with_scores(
        run, stage, new, old, Seen(n_rows, elapsed, None, None, None, look, trouble)
    ), looked


def _load(run: Run, version: int) -> Champion:
    found = load_champion(run, version)
    if found is None:
        raise BundleError("missing", f"version {version} has no bundle")
    return found


def _refusal(run: Run, stage: Row[Any]) -> str | None:
    for word in acknowledgements(run.store, run.name):
        if word.generation == stage.generation and word.refused_code is not None:
            return f"a server refused it: {word.refused_code}: {word.refused_reason}"
    return None


def _count_labelled(run: Run, stage: Row[Any]) -> int:
    with reading(run.engine) as connection:
        return rollouts.count_labelled(connection, run.name, stage.first_id, mature_until(run))


def _count_live(run: Run, stage: Row[Any]) -> int:
    version = str(stage.version) if stage.stage == "canary" else None
    with reading(run.engine) as connection:
        return rollouts.count_live(connection, run.name, stage.first_id, version)


def _outputs(
    run: Run, new: Champion, old: Champion, rows: Sequence[Row[Any]]
) -> tuple[Floats, Floats]:
    """Both versions' outputs of stored rows, in the order of the new version's classes."""
    none = np.full((len(rows), max(1, len(new.schema.classes))), np.nan)
    sides = []
    for side in (new, old):
        frame = served_frame(run, rows, side.schema.names)
        sides.append(np.asarray(rival_output(side, frame, new.schema, none), dtype=np.float64))
    return sides[0], sides[1]


def _look(run: Run, stage: Row[Any], new: Champion, old: Champion, number: int) -> Look:
    with reading(run.engine) as connection:
        rows = rollouts.labelled_rows(
            connection, run.name, stage.first_id, mature_until(run), MOST_LABELLED
        )
    y = encode_labels(pd.Series([row.actual for row in rows], dtype=object), new.schema)
    ours, theirs = _outputs(run, new, old, rows)
    known = ~np.isnan(y) & np.isfinite(ours).all(axis=1) & np.isfinite(theirs).all(axis=1)
    metric = new.manifest.metric
    cuts = cut(new.manifest), cut(old.manifest)
    pair = Pair(new.schema.task, metric, y[known], ours[known], theirs[known], *cuts)
    estimate = estimate_gain(pair)
    confidence = confidence_of(number, run.problem.rollout.confidence)
    low, high = (_known(bound) for bound in estimate.interval(confidence))
    return Look(metric, int(known.sum()), _known(estimate.value), low, high, confidence)


def _with_scores(run: Run, stage: Row[Any], new: Champion, old: Champion, seen: Seen) -> Seen:
    """With the distributions of both versions' scores of the newest live rows, and the time."""
    with reading(run.engine) as connection:
        rows = rollouts.live_rows(connection, run.name, stage.first_id, MOST_ROWS)
    if not rows:
        return seen
    try:
        ours, theirs = _outputs(run, new, old, rows)
    except Exception as error:  # the runtime's exceptions share no base
        return _troubled(seen, f"it cannot score live rows: {type(error).__name__}")
    answered = np.isfinite(theirs).all(axis=1)
    n_unusable = int((answered & ~np.isfinite(ours).all(axis=1)).sum())
    if n_unusable:
        return _troubled(seen, f"{n_unusable} of {len(rows)} live rows get no finite answer")
    ours, theirs, task = ours[answered], theirs[answered], new.schema.task
    if not len(ours):
        return seen
    frame = served_frame(run, rows[-TIMED_ROWS:], new.schema.names)
    return Seen(
        seen.n_rows,
        seen.elapsed,
        score_shift(task, ours, theirs),
        agreement(task, ours, theirs, cut(new.manifest), cut(old.manifest)),
        _latency(new, old, frame),
        seen.look,
        seen.trouble,
    )


def _troubled(seen: Seen, trouble: str) -> Seen:
    return Seen(seen.n_rows, seen.elapsed, look=seen.look, trouble=seen.trouble or trouble)


def _latency(new: Champion, old: Champion, frame: pd.DataFrame) -> Latency:
    """Both timed in turns, row by row: noise only adds time, so the best of the medians counts."""
    sides = []
    for side in (new, old):
        rows = encode_features(frame.reindex(columns=list(side.schema.names)), side.schema.features)
        sides.append((open_graph(side.graph), rows))
    medians = np.array([[_milliseconds(*side) for side in sides] for _ in range(ROUNDS)])
    best = medians.min(axis=0)
    return Latency(float(best[0]), float(best[1]))


def _milliseconds(answer: Any, rows: Matrix) -> float:
    seconds = []
    for row in rows:
        began = time.perf_counter()
        answer(row[np.newaxis])
        seconds.append(time.perf_counter() - began)
    return 1000 * float(np.median(seconds))


def _known(number: float) -> float | None:
    return float(number) if np.isfinite(number) else None
