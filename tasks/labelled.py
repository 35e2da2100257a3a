"""The labelled rows as the loop trusts them: which train, which judge, and what was found."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from learning import alert_text
from learning.rows import Floats, Rows, Schema, encode, encode_labels
from learning.trust import Expected, Finding, Labels, describe, trust
from storage import label_origins, models, releases
from storage.database import reading
from storage.manifest import cut
from storage.observations import BATCH_ID, KEY, SOURCE, read_observations
from tasks.champion import Champion, rival_output
from tasks.run import Run

MOST_FED_BACK = 100_000
ANONYMOUS = "clients without a token"
# What a model's accuracy on its own holdout counts for where its rows are not known any more.
HOLDOUT_ROWS = 100


@dataclass(frozen=True)
class Labelled:
    """Labelled observations in time order, encoded, with masks [n] of those that may do what."""

    frame: pd.DataFrame
    rows: Rows
    trains: np.ndarray
    judges: np.ndarray
    findings: tuple[Finding, ...]
    labels: Labels

    def behind(self, time: np.datetime64) -> np.ndarray:
        """Rows that may judge and are newer than a time."""
        return self.judges & (self.rows.times > time)


def read_labelled(
    run: Run, schema: Schema, champion: Champion | None, data: int | None = None
) -> Labelled:
    """Read the labelled observations as of a data version and say what each may be used for."""
    frame = read_observations(run.store, run.name, data, labelled_only=True)
    rows = encode(frame, schema)
    is_known = ~np.isnan(rows.y)
    frame, rows = frame[is_known].reset_index(drop=True), rows.part(is_known)
    is_fed_back = (frame[SOURCE] == "feedback").to_numpy()
    has_other = _has_other_source(run, frame, is_fed_back)
    labels = _labels(run, frame, rows, schema, is_fed_back)
    expected = _expected(champion, frame, rows, schema, is_fed_back)
    now = np.datetime64(_clock(run, rows), "us")
    found = trust(labels, run.problem.trust, now, has_other, expected)
    return Labelled(frame, rows, found.trains, found.judges, found.findings, labels)


def _clock(run: Run, rows: Rows) -> pd.Timestamp:
    """The end of what has happened; where the future is not told apart, the newest row."""
    ahead = run.problem.max_ahead
    if run.latest is None or ahead is None or ahead.time is None:
        return pd.Timestamp(rows.times.max()) if len(rows) else pd.Timestamp(0)
    return pd.Timestamp(run.latest - ahead.time).tz_convert(None)


def _has_other_source(run: Run, frame: pd.DataFrame, is_fed_back: np.ndarray) -> bool:
    """Whether labels came by another way than ``/feedback`` since the first champion."""
    with reading(run.engine) as connection:
        first = releases.first_served(connection, run.name)
        row = None if first is None else models.find_version(connection, run.name, first)
        if row is None or row.data_version is None:
            return bool((~is_fed_back).any())
        later = label_origins.batches_after(connection, run.name, row.data_version)
    return bool(frame.loc[~is_fed_back, BATCH_ID].isin(later).any())


def _labels(
    run: Run, frame: pd.DataFrame, rows: Rows, schema: Schema, is_fed_back: np.ndarray
) -> Labels:
    origins: dict[str, tuple[str, object]] = {}
    if is_fed_back.any():
        with reading(run.engine) as connection:
            listed = label_origins.fed_back(connection, run.name, MOST_FED_BACK)
        has_key = run.problem.key is not None
        for row in listed:
            name = ANONYMOUS if row.token_id is None else f"the client of token {row.token_id}"
            origins[(has_key and row.key) or row.prediction_id] = name, row.prediction
    nobody = (ANONYMOUS, None)
    found = [origins.get(key, nobody) for key in frame[KEY]]
    client, names = pd.factorize(pd.Series([name for name, _ in found], dtype=object))
    said = encode_labels(pd.Series([answer for _, answer in found], dtype=object), schema)
    return Labels(
        schema.task, rows.y, rows.times, is_fed_back, client, said, tuple(str(n) for n in names)
    )


def _expected(
    champion: Champion | None,
    frame: pd.DataFrame,
    rows: Rows,
    schema: Schema,
    is_fed_back: np.ndarray,
) -> Expected | None:
    """How often the champion is right: on newer rows that no client labelled, else its holdout."""
    if champion is None or schema.task == "regression" or champion.schema.task != schema.task:
        return None
    fresh = ~is_fed_back & (rows.times > champion.training_end)
    if fresh.sum() >= 50:
        output = rival_output(champion, frame[fresh], schema, np.empty((0, 0)))
        said = said_of(output, cut(champion.manifest))
        return Expected(float((said == rows.y[fresh]).mean()), int(fresh.sum()), True)
    known = champion.manifest.metrics.get("accuracy")
    return None if known is None else Expected(known, HOLDOUT_ROWS, False)


def said_of(output: Floats, threshold: float) -> Floats:
    """The class that was said [n] of probabilities [n, classes]."""
    if output.shape[1] == 2:
        return (output[:, 1] >= threshold).astype(np.float64)
    return np.asarray(output.argmax(axis=1), dtype=np.float64)


def tell_of_labels(run: Run, findings: tuple[Finding, ...]) -> None:
    """Alert when rows were left out since their labels cannot be believed."""
    doubted = [finding for finding in findings if finding.n_rows]
    if doubted:
        alert = alert_text.labels_doubted(
            sum(finding.n_rows for finding in doubted),
            [finding.kind for finding in doubted],
            describe(doubted),
        )
        with run.commit() as connection:
            run.alert(connection, alert)
