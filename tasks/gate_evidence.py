"""What the gate is shown: the judged rows as each model sees them, and what stands beside."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
from loguru import logger

from learning.exam import is_exam
from learning.gate import Beside, Contest, Footprint, Side
from learning.onnx_export import open_graph
from learning.performance_rivals import as_output, last_arrived
from learning.performance_slices import slice_rows
from learning.rows import Floats, Schema
from learning.search import thin_places
from storage import releases, reports
from storage.bundles import BundleError
from storage.database import reading
from storage.manifest import cut
from tasks.champion import Champion, load_champion, rival_output
from tasks.gate_notes import notes_on
from tasks.labelled import Labelled
from tasks.run import Run

OLDER_ROWS = 5_000
TIMED_CALLS = 50
N_DECISIONS = 200


@dataclass(frozen=True)
class Hearing:
    """Everything that one judgement rests on."""

    contest: Contest
    beside: Beside


def hear(
    run: Run,
    schema: Schema,
    labelled: Labelled,
    challenger: Champion,
    champion: Champion | None,
    is_first_look: bool,
) -> Hearing:
    """The judged rows are the newest that may judge and that neither model was trained on."""
    end = challenger.training_end
    if champion is not None:
        end = max(end, champion.training_end)
    judging = np.flatnonzero(labelled.behind(end))[-run.problem.gate.most_rows :]
    contest = contest_on(labelled, judging, schema, challenger, champion)
    exam = labelled.judges & is_exam(labelled.rows.times, run.problem.gate.backtest_share)
    older = np.flatnonzero(exam & (labelled.rows.times <= end))
    older = older[thin_places(len(older), OLDER_ROWS)]
    slices = tuple(slice_rows(labelled.rows.x[judging], schema.features, run.problem.slices))
    beside = Beside(
        older=contest_on(labelled, older, schema, challenger, champion),
        slices=slices,
        senders=tuple(labelled.labels.senders(judging)),
        baselines=tuple(_baselines(run, schema, labelled, judging, challenger)),
        anchor=_anchor(run, schema, labelled, judging, champion),
        footprint=_footprint(challenger),
        rival_footprint=None if champion is None else _footprint(champion),
        notes=tuple(notes_on(run, schema, labelled, judging, champion, is_first_look)),
    )
    return Hearing(contest, beside)


def contest_on(
    labelled: Labelled,
    places: np.ndarray,
    schema: Schema,
    challenger: Champion,
    champion: Champion | None,
) -> Contest:
    """Challenger and champion, or the dummy where there is none, on some of the labelled rows."""
    frame, y = labelled.frame.iloc[places], labelled.rows.y[places]
    dummy = np.tile(np.array(challenger.manifest.baseline), (len(places), 1))
    is_rival = champion is not None and champion.schema.task == schema.task
    rival = champion if is_rival else None
    return Contest(
        task=schema.task,
        metric=challenger.manifest.metric,
        y=y,
        challenger=rival_output(challenger, frame, schema, dummy),
        rival=dummy if rival is None else rival_output(rival, frame, schema, dummy),
        rival_name="the dummy" if rival is None else f"champion {rival.version}",
        threshold=cut(challenger.manifest),
        rival_threshold=0.5 if rival is None else cut(rival.manifest),
        is_first=champion is None,
        is_rival_served=rival is not None,
    )


def _baselines(
    run: Run, schema: Schema, labelled: Labelled, judging: np.ndarray, challenger: Champion
) -> list[Side]:
    n_classes = len(schema.classes)
    dummy = np.tile(np.array(challenger.manifest.baseline), (len(judging), 1))
    return [
        Side("the dummy", dummy),
        Side("no change", as_output(_last_labels(run, labelled, judging), n_classes)),
    ]


def _last_labels(run: Run, labelled: Labelled, judging: np.ndarray) -> Floats:
    """The last label that had arrived when each judged row happened; NaN where none had."""
    delay, times = run.problem.label_delay, labelled.rows.times
    good = labelled.trains | labelled.judges
    known, y = times[good], labelled.rows.y[good]
    if delay.time is not None:
        return last_arrived(times[judging], known + np.timedelta64(delay.time), y)
    before = np.searchsorted(known, times[judging], side="left") - 1 - (delay.rows or 0)
    return np.where(before >= 0, y[np.maximum(before, 0)], np.nan)


def _anchor(
    run: Run,
    schema: Schema,
    labelled: Labelled,
    judging: np.ndarray,
    champion: Champion | None,
) -> Side | None:
    """The newest champion that came by being better; those that were merely not worse are none."""
    if champion is None:
        return None
    with reading(run.engine) as connection:
        decided = reports.decisions_of(connection, run.name, "gate", N_DECISIONS)
        first = releases.first_served(connection, run.name)
        served = {
            row.version
            for row in releases.release_history(connection, run.name, N_DECISIONS)
            if row.state == "promoted"
        }
    better = [
        row.evidence.get("version")
        for row in decided
        if row.go and (row.evidence.get("gain_low") or 0) > 0
    ]
    version = next((one for one in better if one in served), first)
    if version is None or version == champion.version:
        return None
    try:
        anchor = load_champion(run, int(version))
    except BundleError as error:
        logger.warning("{}: no anchor to compare with: {}", run.name, error)
        return None
    if anchor is None or anchor.schema.task != schema.task:
        return None
    output = rival_output(anchor, labelled.frame.iloc[judging], schema, np.empty((0, 0)))
    return Side(f"version {anchor.version}", output, cut(anchor.manifest))


def _footprint(model: Champion) -> Footprint:
    """Measured in this process on single rows, so that both sides bear the same machine."""
    answer = open_graph(model.graph)
    row = np.zeros((1, len(model.manifest.features)), dtype=np.float32)
    seconds = list[float]()
    for _ in range(TIMED_CALLS):
        began = time.perf_counter()
        answer(row)
        seconds.append(time.perf_counter() - began)
    return Footprint(1000 * float(np.median(seconds)), len(model.graph))
