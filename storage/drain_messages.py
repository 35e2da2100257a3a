"""What a server and the process that moves its journal into SQL say to each other."""

from __future__ import annotations

import struct
from typing import IO

import msgspec

from storage.records import FeedbackRecord, SingleRecord

LENGTH = struct.Struct("<I")


class Work(msgspec.Struct, frozen=True):
    """Where the records are for one who moves them, and what becomes of impossible ones."""

    url: str
    migration_lock: str
    aside: str


class Portion(msgspec.Struct, array_like=True, frozen=True):
    """Records of a segment file from ``start``, at most up to ``end``; perhaps none."""

    path: str
    start: int
    end: int


class Moved(msgspec.Struct, array_like=True):
    """How far a portion was moved, and the ids by problem that SQL has since.

    ``failure`` names what kept it from moving anything.
    """

    end: int
    predictions: dict[str, list[str]] = {}
    labels: dict[str, list[str]] = {}
    n_set_aside: int = 0
    failure: str | None = None

    def note(self, record: SingleRecord) -> None:
        """Count a record as moved."""
        if isinstance(record, FeedbackRecord):
            names = self.labels.setdefault(record.problem, [])
            names += [item.prediction_id for item in record.items]
        else:
            self.predictions.setdefault(record.problem, []).append(record.prediction_id)


def send(stream: IO[bytes], message: Work | Portion | Moved) -> None:
    """Write one message. Raises OSError when the other side is gone."""
    content = msgspec.msgpack.encode(message)
    stream.write(LENGTH.pack(len(content)) + content)
    stream.flush()


def receive(stream: IO[bytes]) -> bytes | None:
    """Read one message; None when the other side is gone."""
    head = stream.read(LENGTH.size)
    if len(head) < LENGTH.size:
        return None
    (size,) = LENGTH.unpack(head)
    content = stream.read(size)
    return content if len(content) == size else None
