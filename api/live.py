"""Judges predictions as their labels arrive."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

from api.errors import ApiError
from api.labelled import Labelled, read_entries
from api.live_figures import WINDOW
from api.runtime import Runtime
from api.session import ServedModel
from api.sql import find_known
from storage.encoding import label_text
from storage.live_labels import LiveLabel
from storage.outcomes import Outcome
from storage.records import FeedbackItem, Label, PredictionRecord

# What reading one record from the journal is worth when a thread for many is weighed.
READ_BYTES = 400


async def judge(
    runtime: Runtime,
    problem: str,
    model: ServedModel,
    items: Sequence[FeedbackItem],
    found: Labelled,
) -> None:
    """Note how well the predictions were that these new, durable labels belong to.

    Of one request the newest thousand count. A prediction that cannot be read now, because it
    moved to a database that does not answer, is left out.
    """
    newest = {item.prediction_id: item.actual for item in items[-WINDOW:]}
    outcomes = {name: found.outcomes[name] for name in newest.keys() & found.outcomes.keys()}
    outcomes |= {
        name: _outcome(record) for name, record in found.borrowed.items() if name in newest
    }
    unread = newest.keys() & found.entries.keys() - outcomes.keys()
    waiting = {name: found.entries[name] for name in unread}
    outcomes |= await runtime.workroom.compute(READ_BYTES * len(waiting), read_entries, waiting)
    moved = [name for name in newest if name not in outcomes]
    if moved:
        with contextlib.suppress(ApiError):
            outcomes |= (await runtime.ask_settled(find_known, problem, moved))[0]
    labels = [
        judged(outcomes[name], actual, model) for name, actual in newest.items() if name in outcomes
    ]
    if labels:
        runtime.live.add(problem, labels)


def judged(outcome: Outcome, actual: Label, model: ServedModel) -> LiveLabel:
    """A prediction beside its label."""
    version = outcome.model_version
    if model.manifest.task == "regression":
        return LiveLabel(version, abs(float(outcome.prediction) - float(actual)))
    is_wrong = label_text(outcome.prediction) != label_text(actual)
    if model.manifest.task == "multiclass" or outcome.probabilities is None:
        return LiveLabel(version, float(is_wrong))
    score = outcome.probabilities[1]
    return LiveLabel(version, float(is_wrong), score, actual == model.labels[1])


def _outcome(record: PredictionRecord) -> Outcome:
    return Outcome(record.model_version, record.prediction, record.probabilities)
