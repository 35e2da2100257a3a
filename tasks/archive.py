"""The archive: a former champion is asked before a new model is trained, when the world returns."""

from __future__ import annotations

import math
from dataclasses import replace

import msgspec
import numpy as np
import pandas as pd
from loguru import logger

from learning.gate import Verdict, judge
from learning.rows import Schema, encode
from storage import models
from storage.bundles import BundleError
from storage.database import reading
from storage.observations import read_observations
from tasks.artifacts import show_verdict
from tasks.champion import Champion, load_champion
from tasks.gate import keep_verdict, parity_of
from tasks.gate_evidence import contest_on, hear
from tasks.labelled import read_labelled
from tasks.run import Run
from tasks.step import step

# The newest former champions that are asked.
N_ASKED = 5


@step("ask the archive")
def judge_archive(run: Run) -> tuple[int, Verdict] | None:
    """The former champion that does best on the rows that judge, if it passes the gate; else None.

    It is judged as any challenger is, on the rows labelled since the champion was trained, at a
    confidence that counts how many were asked. One that does not pass stays in the archive, and a
    new model is trained.
    """
    schema, champion = run.schema, load_champion(run)
    if schema is None or champion is None or not run.problem.retrain.ask_archive:
        return None
    asked = _former_champions(run, champion)
    if not asked:
        return None
    champion = _as_of_its_gate(run, champion, schema)
    labelled = read_labelled(run, schema, champion)
    gains: dict[int, float] = {}
    for former in asked:
        end = max(champion.training_end, former.training_end)
        places = np.flatnonzero(labelled.behind(end))[-run.problem.gate.most_rows :]
        if len(places) >= run.problem.gate.min_rows:
            gain = contest_on(labelled, places, schema, former, champion).pair.gain()
            gains[former.version] = -math.inf if math.isnan(gain) else gain
    best = max(asked, key=lambda former: gains.get(former.version, -math.inf))
    if gains.get(best.version, 0.0) <= 0:
        return None
    hearing = hear(run, schema, labelled, best, champion, is_first_look=False)
    # Look k spends 1/2^k of the error: this many looks stand for as many versions as were asked.
    look = 1 + math.ceil(math.log2(len(asked)))
    verdict = judge(
        hearing.contest, parity_of(best), run.problem.gate, hearing.beside, look, is_last=True
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


def _as_of_its_gate(run: Run, champion: Champion, schema: Schema) -> Champion:
    """The champion as if it had been trained on all that was labelled then.

    What it was judged by at the gate tells of the world as it was; here only newer rows count.
    """
    known = read_observations(
        run.store, run.name, champion.manifest.data_version, labelled_only=True
    )
    newest = pd.Timestamp(encode(known, schema).times.max()).tz_localize("UTC").isoformat()
    return replace(
        champion, manifest=msgspec.structs.replace(champion.manifest, training_end=newest)
    )


def _former_champions(run: Run, champion: Champion) -> list[Champion]:
    with reading(run.engine) as connection:
        rows = models.archived(connection, run.name, N_ASKED)
    found = []
    for row in rows:
        try:
            former = load_champion(run, row.version)
        except BundleError as error:
            logger.warning("{}: version {} cannot return: {}", run.name, row.version, error)
            continue
        if former is not None and former.schema.task == champion.schema.task:
            found.append(former)
    return found
