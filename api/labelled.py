"""Which predictions are known and how they are labelled: in the journals of all workers, in SQL."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

from api.errors import ApiError
from api.runtime import Runtime
from api.sql import find_known
from storage.journal import Entry
from storage.outcomes import Outcome, outcomes_in
from storage.records import FeedbackItem, Label, PredictionRecord, decode_prediction

# So many entries are read from the journal without a thread.
FEW = 20


@dataclass
class Labelled:
    """What is known of some predictions.

    ``entries`` are those that wait in the own journal, ``borrowed`` those in another worker's,
    ``outcomes`` those that were read, in SQL or in the own journal.
    """

    known: set[str] = field(default_factory=set)
    labels: dict[str, Label] = field(default_factory=dict)
    entries: dict[str, Entry] = field(default_factory=dict)
    borrowed: dict[str, PredictionRecord] = field(default_factory=dict)
    outcomes: dict[str, Outcome] = field(default_factory=dict)


async def find_labelled(
    runtime: Runtime, problem: str, checked: list[FeedbackItem | str]
) -> Labelled:
    """What is known of the predictions that these items name.

    Raises ApiError 503 when SQL would have to say and does not answer.
    """
    found = Labelled()
    names = dict.fromkeys(item.prediction_id for item in checked if isinstance(item, FeedbackItem))
    _look_at_own(runtime, problem, list(names), found)
    if len(found.entries) <= FEW:
        # At once, before they can move to SQL, which would have to be asked then.
        found.outcomes = read_entries(found.entries)
    missing = [name for name in names if name not in found.known and name not in found.labels]
    # The journals first: a record only ever moves from there to SQL.
    if runtime.neighbours.are_there:
        await _look_at_neighbours(runtime, problem, list(names), missing, found)
        missing = [name for name in missing if name not in found.known]
        # Another worker may have drained the label of what still waits here.
        try:
            outcomes, labels = await runtime.ask_settled(find_known, problem, list(names))
        except ApiError:
            if missing:
                raise
        else:
            found.outcomes |= outcomes
            found.labels = labels | found.labels
    elif missing:
        outcomes, labels = await runtime.ask_settled(find_known, problem, missing)
        found.outcomes |= outcomes
        found.labels |= labels
    found.known |= found.outcomes.keys()
    return found


def _look_at_own(runtime: Runtime, problem: str, names: list[str], found: Labelled) -> None:
    for name in names:
        # Labels drain after their prediction: one that waits has no label in SQL.
        if (waiting := runtime.recorder.label(problem, name)) is not None:
            found.labels[name] = waiting[0]
        elif (entry := runtime.recorder.prediction(problem, name)) is not None:
            found.known.add(name)
            found.entries[name] = entry


async def _look_at_neighbours(
    runtime: Runtime, problem: str, names: list[str], missing: list[str], found: Labelled
) -> None:
    neighbours = runtime.neighbours
    labels = await asyncio.to_thread(neighbours.labels, problem, names)
    for name, record in labels.items():
        found.labels.setdefault(name, record.item(name).actual)
    for name, payload in (
        await asyncio.to_thread(neighbours.predictions, problem, missing)
    ).items():
        found.known.add(name)
        found.borrowed[name] = decode_prediction(payload, name)


def read_entries(waiting: Mapping[str, Entry]) -> dict[str, Outcome]:
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
