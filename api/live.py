"""How well the newest labelled predictions were, as their labels arrive."""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from api.errors import ApiError
from api.session import ServedModel
from api.sql import find_known
from storage.encoding import label_text
from storage.journal import Entry
from storage.live_labels import LiveLabel
from storage.outcomes import Outcome, outcomes_in
from storage.records import FeedbackItem, Label, PredictionRecord

if TYPE_CHECKING:
    from api.labelled import Labelled
    from api.runtime import Runtime

WINDOW = 1_000
# Labels may come late, for versions that answer no more; the most recently labelled are shown.
VERSIONS = 5
# What reading one record from the journal is worth when a thread for many is weighed.
READ_BYTES = 400


@dataclass(frozen=True)
class Figure:
    """The newest labelled predictions of one version; None for what its task has not.

    ``auc`` is None as well while all labels are of one class.
    """

    version: str
    labels: int
    accuracy: float | None = None
    auc: float | None = None
    mean_absolute_error: float | None = None


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
    waiting = {name: found.entries[name] for name in newest.keys() & found.entries.keys()}
    outcomes |= await runtime.workroom.compute(READ_BYTES * len(waiting), _read, waiting)
    moved = [name for name in newest if name not in outcomes]
    if moved:
        with contextlib.suppress(ApiError):
            outcomes |= (await runtime.ask_settled(find_known, problem, moved))[0]
    labels = [
        judged(outcomes[name], actual, model) for name, actual in newest.items() if name in outcomes
    ]
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


def figures(labels: Sequence[LiveLabel], task: str) -> list[Figure]:
    """The figures of the versions that were labelled last, from labels in the order they came."""
    newest: dict[str, list[LiveLabel]] = defaultdict(list)
    for label in reversed(labels):
        if label.model_version in newest or len(newest) < VERSIONS:
            newest[label.model_version].append(label)
    return [_figure(version, found[:WINDOW], task) for version, found in newest.items()]


def _figure(version: str, labels: list[LiveLabel], task: str) -> Figure:
    mean = sum(label.error for label in labels) / len(labels)
    if task == "regression":
        return Figure(version, len(labels), mean_absolute_error=mean)
    return Figure(version, len(labels), accuracy=1 - mean, auc=_auc(labels))


def _auc(labels: list[LiveLabel]) -> float | None:
    """The chance that a positive scores above a negative, ties counting half (Mann and Whitney)."""
    scored = [(label.score, label.is_positive) for label in labels if label.score is not None]
    positive = np.array([score for score, is_positive in scored if is_positive])
    negative = np.sort([score for score, is_positive in scored if not is_positive])
    if not positive.size or not negative.size:
        return None
    below = np.searchsorted(negative, positive, side="left")
    up_to = np.searchsorted(negative, positive, side="right")
    return float((below + up_to).mean() / (2 * negative.size))


def _outcome(record: PredictionRecord) -> Outcome:
    return Outcome(record.model_version, record.prediction, record.probabilities)


def _read(waiting: Mapping[str, Entry]) -> dict[str, Outcome]:
    """The outcomes of these journal entries; a batch's, which many share, is read once."""
    found: dict[str, Outcome] = {}
    names: dict[Entry, list[str]] = defaultdict(list)
    for name, entry in waiting.items():
        names[entry].append(name)
    for entry, each in names.items():
        payload = entry.read()
        if payload is not None:
            found |= outcomes_in(payload, frozenset(each))
    return found
