"""What a drift check sees beside the inputs: predictions, labels, and errors of served answers."""

from __future__ import annotations

import numpy as np
from loguru import logger

from learning.drift_online import ConceptDrift, row_errors, watch_errors
from learning.drift_outputs import (
    INPUTS,
    LABEL,
    PREDICTION,
    References,
    Watched,
    check_column,
    encode_known_labels,
    encode_predictions,
    label_feature,
    prediction_feature,
    read_references,
)
from learning.drift_reference import summarise
from learning.onnx_export import run_graph
from learning.rows import Rows, encode
from storage import performance
from storage.database import reading
from storage.observations import read_observations
from tasks.champion import Champion
from tasks.performance import judged_rows, mature_until
from tasks.run import Run

MOST_ERRORS = 5_000


def references_of(champion: Champion) -> References:
    """The statistics in the champion's bundle; from its reference rows where it has none.

    A file that is older or newer than this code is worth a line in the log, not a missing report.
    """
    if champion.statistics is not None:
        try:
            found = read_references(champion.statistics)
            if INPUTS in found:
                return found
        except ValueError as error:
            logger.warning("version {}: {}; its rows are taken instead", champion.version, error)
    return {INPUTS: summarise(champion.reference, champion.schema.features)}


def watch_outputs(run: Run, champion: Champion, references: References, current: Rows) -> Watched:
    """Prediction drift of the current window, label drift and concept drift of what is labelled."""
    schema, rules = champion.schema, run.problem.drift
    output = run_graph(champion.graph, current.x) if len(current) else np.zeros((0, 1))
    predicted = encode_predictions(output, schema)
    labels = encode_known_labels(_newest_labels(run, champion))
    return Watched(
        check_column(references.get(PREDICTION), predicted, prediction_feature(schema), rules),
        check_column(references.get(LABEL), labels, label_feature(schema), rules),
        _watch_errors(run, champion),
    )


def _newest_labels(run: Run, champion: Champion) -> np.ndarray:
    """Labels of the newest rows behind the champion's training window, from wherever they came."""
    frame = read_observations(run.store, run.name, labelled_only=True)
    if not len(frame):
        return np.zeros(0)
    rows = encode(frame.tail(run.problem.windows.current_rows), champion.schema)
    return rows.part(rows.times > champion.training_end).y


def _watch_errors(run: Run, champion: Champion) -> ConceptDrift:
    with reading(run.engine) as connection:
        listed = performance.judged_predictions(
            connection, run.name, str(champion.version), mature_until(run), MOST_ERRORS, False
        )
    judged = judged_rows(list(reversed(listed)), champion.schema)
    return watch_errors(row_errors(champion.schema.task, judged.y, judged.output))
