"""Watch the inputs: the champion's training rows against what arrives now."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
import pandas as pd

from learning import alert_text
from learning.alert import Alert
from learning.drift import DriftResult, check_drift, effect_name
from learning.drift_outputs import INPUTS, Watched
from learning.drift_reference import shapes
from learning.phrases import DriftedFeature
from learning.rows import EVENT_TIME, LABEL, Rows, encode
from storage import reports
from storage.database import reading
from storage.kill_points import reach
from storage.observations import SOURCE, read_observations
from tasks.artifacts import show_drift
from tasks.champion import Champion, load_champion, served_frame
from tasks.drift_outputs import references_of, watch_outputs
from tasks.run import Run
from tasks.step import step

# Checks before this one that a person sees beside it.
N_PAST = 12


@step("check for data drift", retries=True)
def watch_drift(run: Run) -> DriftResult | None:
    """Test the current window against the reference and keep the result; None without champion."""
    champion = load_champion(run)
    if champion is None:
        return None
    current = current_window(run, champion)
    references = references_of(champion)
    result = check_drift(references[INPUTS], current.x, champion.schema.features, run.problem.drift)
    watched = watch_outputs(run, champion, references, current)
    with reading(run.engine) as connection:
        past = reports.past_drift(connection, run.name, N_PAST)
    with run.commit() as connection:
        reports.save_drift(
            connection,
            {
                "run_id": run.run_id,
                "problem": run.name,
                "model_version": str(champion.version),
                "is_drifted": result.is_drifted,
                "drift_share": result.drift_share,
                "n_reference": result.n_reference,
                "n_current": result.n_current,
                "reason": result.reason,
                "features": [asdict(feature) for feature in result.features],
                "watched": watched.evidence(result),
                "shapes": shapes(references[INPUTS], current.x, champion.schema.features),
                "report": past[0].report if past else None,
                "clock": run.now,
            },
        )
        if result.is_drifted:
            run.alert(connection, _drift_alert(result, champion.version, watched))
        elif result.drift_share is not None:
            calm = alert_text.drift_over(str(champion.version), result.drift_share, result.reason)
            run.alert(connection, calm)
    reach("monitor.drift_saved")
    show_drift(run, result, watched, past)
    return result


def current_window(run: Run, champion: Champion) -> Rows:
    """The newest rows behind the champion's training window: served ones and new observations.

    Encoded as the champion sees them, whatever the problem file says by now.

    Observations that came from feedback are left out, since they were served before.
    """
    newest = run.problem.windows.current_rows
    with reading(run.engine) as connection:
        served = reports.served_rows(connection, run.name, newest, run.latest)
    schema = champion.schema
    inputs = served_frame(run, served, schema.names)
    inputs[EVENT_TIME] = pd.to_datetime([row.event_time for row in served], utc=True)
    inputs[LABEL] = None
    parts = [encode(inputs, schema)]
    observed = read_observations(run.store, run.name)
    if len(observed):
        observed = observed[observed[SOURCE] != "feedback"].tail(newest)
        parts.append(encode(observed, schema))
    times = np.concatenate([part.times for part in parts])
    rows = Rows(
        np.vstack([part.x for part in parts]),
        np.concatenate([part.y for part in parts]),
        times,
    )
    order = np.argsort(times, kind="stable")
    order = order[times[order] > champion.training_end][-newest:]
    return rows.part(order)


def _drift_alert(result: DriftResult, version: int, watched: Watched) -> Alert:
    drifted = [f for f in result.features if f.is_drifted]
    testable = [f for f in result.features if f.not_testable is None]
    worst = sorted(drifted, key=lambda f: f.effect or 0.0, reverse=True)[:3]
    return alert_text.drift_found(
        str(version),
        result.drift_share or 0.0,
        len(drifted),
        len(testable),
        result.threshold,
        [
            DriftedFeature(f.name, effect_name(f), f.effect or 0.0, f.p_adjusted or 0.0)
            for f in worst
        ],
        [f"{group.name} {group.status}" for group in result.groups if group.status != "normal"],
        watched.sentences(),
    )
