"""What other processes' journals hold: workers of the same server, or those that just died."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Collection, Iterator
from datetime import datetime
from pathlib import Path

import msgspec

from storage.records import FeedbackRecord
from storage.segments import read_at, read_frames

Key = tuple[str, str]


class PredictionHead(msgspec.Struct, tag="p", array_like=True, gc=False):
    """The beginning of a prediction's record: enough to know whose it is."""

    problem: str
    prediction_id: str


class BatchHead(msgspec.Struct, tag="b", array_like=True, gc=False):
    """The beginning of a batch's record."""

    problem: str
    model_version: str
    created_at: datetime
    prediction_ids: list[str]


_heads = msgspec.msgpack.Decoder(PredictionHead | BatchHead | FeedbackRecord)


class Tail:
    """What was read of one segment file so far."""

    def __init__(self) -> None:
        self.size = 0
        self.predictions: dict[Key, int] = {}
        self.labels: dict[Key, FeedbackRecord] = {}


class Neighbours:
    """Looks into the segments of all folders but the own one; each byte is read once.

    A record leaves a journal only after SQL has it: who finds it in none of them, and asks SQL
    after that, knows that it was never acknowledged. Safe to use from several threads.
    """

    def __init__(self, root: Path, own: Path) -> None:
        self._root = root
        self._own = own.name
        self._tails: dict[Path, Tail] = {}
        self._mutex = threading.Lock()

    @property
    def are_there(self) -> bool:
        """Whether anybody else keeps a journal here."""
        return next(self._folders(), None) is not None

    def predictions(self, problem: str, names: Collection[str]) -> dict[str, bytes]:
        """The whole records of those of these predictions that wait there, made durable."""
        found: dict[str, bytes] = {}
        with self._mutex:
            self._refresh()
            for path, tail in self._tails.items():
                hits = [name for name in names if (problem, name) in tail.predictions]
                if not hits or not _make_durable(path):
                    continue
                for name in hits:
                    payload = read_at(path, tail.predictions[problem, name])
                    if payload is not None:
                        found[name] = payload
        return found

    def labels(self, problem: str, names: Collection[str]) -> dict[str, FeedbackRecord]:
        """The records with labels that wait there for these predictions, made durable."""
        found: dict[str, FeedbackRecord] = {}
        with self._mutex:
            self._refresh()
            for path, tail in self._tails.items():
                hits = {n: tail.labels[problem, n] for n in names if (problem, n) in tail.labels}
                if hits and _make_durable(path):
                    found |= hits
        return found

    def _folders(self) -> Iterator[Path]:
        with os.scandir(self._root) as entries:
            for entry in entries:
                if entry.name[0] != "." and entry.name != self._own and entry.is_dir():
                    yield Path(entry.path)

    def _refresh(self) -> None:
        present = set()
        for folder in self._folders():
            with contextlib.suppress(FileNotFoundError):  # drained and gone meanwhile
                present.update(sorted(folder.glob("*.log")))
        for path in self._tails.keys() - present:
            del self._tails[path]
        for path in present:
            tail = self._tails.setdefault(path, Tail())
            with contextlib.suppress(FileNotFoundError):
                for end, payload in read_frames(path, tail.size):
                    _note(tail, payload)
                    tail.size = end


def _note(tail: Tail, payload: bytes) -> None:
    try:
        head = _heads.decode(payload)
    except msgspec.MsgspecError:
        return
    if isinstance(head, FeedbackRecord):
        for item in head.items:
            tail.labels.setdefault((head.problem, item.prediction_id), head)
        return
    names = head.prediction_ids if isinstance(head, BatchHead) else [head.prediction_id]
    for name in names:
        tail.predictions[head.problem, name] = tail.size


def _make_durable(path: Path) -> bool:
    """Sync a file that its owner may not have synced yet; False when it is gone."""
    try:
        file = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        os.fdatasync(file)
    finally:
        os.close(file)
    return True
