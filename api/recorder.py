"""What this process has acknowledged and SQL does not have yet."""

from __future__ import annotations

import contextlib
import time
from array import array
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from api.errors import ApiError
from storage.journal import Entry, Journal, JournalFullError
from storage.prediction_batches import BatchRecord
from storage.records import (
    FeedbackRecord,
    Label,
    PredictionRecord,
    Record,
    decode_record,
    encode_record,
)

Key = tuple[str, str]
MOVES = 2**17


class Recorder:
    """The journal and an index of its records that are not drained.

    Requests add on the event loop, the drainer removes on its thread; every step is one
    dictionary operation, so neither waits for the other.
    """

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self._predictions: dict[Key, Entry] = {}
        self._feedback: dict[Key, tuple[Label, Entry]] = {}
        self.n_forgotten = 0
        # When a key with this remainder last left: two that share one only ask SQL once more.
        self._moved = array("Q", bytes(8 * MOVES))

    @property
    def n_backlog(self) -> int:
        """Predictions and labels that are not in SQL yet."""
        return len(self._predictions) + len(self._feedback)

    @property
    def oldest_seconds(self) -> float:
        """Age of the oldest of them, 0 when there is none."""
        oldest = []
        with contextlib.suppress(StopIteration, RuntimeError):  # it was drained meanwhile
            oldest.append(next(iter(self._predictions.values())).created)
        with contextlib.suppress(StopIteration, RuntimeError):
            oldest.append(next(iter(self._feedback.values()))[1].created)
        return max(0.0, time.time() - min(oldest)) if oldest else 0.0

    def recover(self) -> None:
        """Take over what dead processes left."""
        for entry, payload in self.journal.adopt():
            try:
                record = decode_record(payload)
            except msgspec.MsgspecError:
                continue  # the drainer meets it again and sets it aside
            if not isinstance(record, FeedbackRecord):
                entry.created = record.created_at.timestamp()
            else:
                entry.created = record.received_at.timestamp()
            self._index(record, entry)

    def prediction(self, problem: str, prediction_id: str) -> Entry | None:
        """The entry of an undrained prediction."""
        return self._predictions.get((problem, prediction_id))

    def label(self, problem: str, prediction_id: str) -> tuple[Label, Entry] | None:
        """The undrained label of a prediction."""
        return self._feedback.get((problem, prediction_id))

    def add(self, record: Record, payload: bytes | None = None) -> Entry:
        """Append a record, or its ``payload`` as encoded already, and index it.

        Await the entry before answering.

        Raises ApiError 503 when the journal is full.
        """
        try:
            entry = self.journal.append(payload or encode_record(record))
        except JournalFullError as error:
            raise _full(error) from None
        self._index(record, entry)
        return entry

    async def durable(self, record: Record, entry: Entry) -> None:
        """Return when a record is safe.

        Raises ApiError 503 when it could not be written; it is then forgotten.
        """
        try:
            await entry.durable()
        except JournalFullError as error:
            self.forget([record])
            raise _full(error) from None

    def forget(self, records: Iterable[Record]) -> None:
        """Drop records from the index, because they are in SQL or nowhere."""
        self.n_forgotten += 1
        for record in records:
            if isinstance(record, PredictionRecord):
                self._move(self._predictions, (record.problem, record.prediction_id))
            elif isinstance(record, BatchRecord):
                for name in record.prediction_ids:
                    self._move(self._predictions, (record.problem, name))
            else:
                for item in record.items:
                    self._move(self._feedback, (record.problem, item.prediction_id))

    def forget_moved(
        self, predictions: Mapping[str, list[str]], labels: Mapping[str, list[str]]
    ) -> None:
        """Drop what is in SQL, given by ids of each problem."""
        self.n_forgotten += 1
        for index, moved in ((self._predictions, predictions), (self._feedback, labels)):
            for problem, names in moved.items():
                for name in names:
                    self._move(index, (problem, name))

    @staticmethod
    def refusal(error: BaseException) -> ApiError:
        """What a client is told when its record could not be written."""
        return _full(error)

    def has_moved(self, keys: Iterable[Key], since: int) -> bool:
        """Whether a record of these keys may have left for SQL after ``n_forgotten`` was this."""
        return any(self._moved[hash(key) % MOVES] > since for key in keys)

    def _move(self, index: dict[Key, Any], key: Key) -> None:
        # Noted before it leaves the index: who finds it in neither place asks SQL again.
        self._moved[hash(key) % MOVES] = self.n_forgotten
        index.pop(key, None)

    def _index(self, record: Record, entry: Entry) -> None:
        if isinstance(record, PredictionRecord):
            self._predictions[record.problem, record.prediction_id] = entry
        elif isinstance(record, BatchRecord):
            for name in record.prediction_ids:
                self._predictions[record.problem, name] = entry
        else:
            for item in record.items:
                self._feedback[record.problem, item.prediction_id] = (item.actual, entry)


def _full(error: BaseException) -> ApiError:
    return ApiError(503, "journal_full", f"{error}; nothing was kept", {"Retry-After": "5"})
