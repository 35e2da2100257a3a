"""The archive: a former champion is asked before a new model is trained, when the world returns."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import numpy as np
import pandas as pd
from loguru import logger

from learning.archive import best_former, gain_if_returned, judged_behind, look_for
from learning.gate import Verdict, judge
from learning.rows import Schema, encode
from storage.observations import read_observations
from tasks.artifacts import show_verdict
from tasks.champion import Champion, former_champions, load_champion
from tasks.gate import keep_verdict, parity_of
from tasks.gate_evidence import contest_on, hear
from tasks.labelled import read_labelled
from tasks.run import Run
from tasks.step import step
from tasks.training import champion_changed_at


@step("ask the archive")
def judge_archive(run: Run) -> tuple[int, Verdict] | None:
    """The former champion that does best on the rows that judge, if it passes the gate; else None.

    It is judged as any challenger is, on the rows labelled since the champion was trained (since
    its errors changed, where they did), at a confidence that counts how many were asked. One that
    does not pass stays in the archive, and a new model is trained.
    """
    schema, champion = run.schema, load_champion(run)
    if schema is None or champion is None or not run.problem.retrain.ask_archive:
        return None
    asked = former_champions(run, champion)
    if not asked:
        return None
    known = _known_then(run, champion, schema)
    labelled = read_labelled(run, schema, _as_if_trained_until(known, champion))
    changed_at = champion_changed_at(champion, labelled, schema)
    champion = _as_if_trained_until(judged_behind(known, changed_at), champion)
    gains: dict[int, float] = {}
    for former in asked:
        end = max(champion.training_end, former.training_end)
        places = np.flatnonzero(labelled.behind(end))[-run.problem.gate.most_rows :]
        contest = contest_on(labelled, places, schema, former, champion)
        expected = former.manifest.expected_live
        gains[former.version] = gain_if_returned(contest, expected, run.problem)
    version = best_former(gains)
    if version is None:
        return None
    best = next(former for former in asked if former.version == version)
    hearing = hear(run, schema, labelled, best, champion, is_first_look=False)
    verdict = judge(
        hearing.contest,
        parity_of(best),
        run.problem.gate,
        hearing.beside,
        look_for(len(asked)),
        is_last=True,
    )
    reason = verdict.decision.reason
    logger.info("{}: former champion {}: {}", run.name, best.version, reason)
    if verdict.outcome != "promote":
        return None
    reason = f"a former champion returns: {reason}"
    verdict = replace(verdict, decision=replace(verdict.decision, reason=reason))
    keep_verdict(run, best.version, verdict, champion)
    show_verdict(run, best.version, verdict)
    return best.version, verdict


def _known_then(run: Run, champion: Champion, schema: Schema) -> np.datetime64:
    """Event time of the newest row that was labelled when the champion was trained.

    What it was judged by at the gate tells of the world as it was; here only newer rows count.
    """
    known = read_observations(
        run.store, run.name, champion.manifest.data_version, labelled_only=True
    )
    newest: np.datetime64 = encode(known, schema).times.max()
    return newest


def _as_if_trained_until(time: np.datetime64, champion: Champion) -> Champion:
    end = pd.Timestamp(time).tz_localize("UTC").isoformat()
    return replace(champion, manifest=msgspec.structs.replace(champion.manifest, training_end=end))
