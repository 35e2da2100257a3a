"""Moves journal records into SQL: called in this process, or run as a process of its own.

On its own it lets the process that answers requests go on: decoding rows and waiting for a
database take turns with nothing else there. It speaks over its standard streams and ends when the
other side is gone; what it was told to move and did not answer for is moved again, which adds
nothing twice because ids are known.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
from sqlalchemy import Engine
from sqlalchemy.exc import DataError, IntegrityError, StatementError

from storage.database import bounded_url, open_engine, upgrade
from storage.drain_messages import Moved, Portion, Work, receive, send
from storage.predictions import store_records
from storage.records import (
    SingleRecord,
    decode_record,
    encode_record,
    flatten,
)
from storage.segments import frame, read_portion

N_RECORDS = 2000
# A record may hold many rows: what is moved at once stays small in memory and in SQL's log.
N_BYTES = 4 * 1024 * 1024
# Predictions are answered first; what they leave is enough to follow them.
NICENESS = 5


class Mover:
    """Moves portions of a journal into SQL."""

    def __init__(self, engine: Engine, migrate: Callable[[], None], aside: Path) -> None:
        """Create it; ``aside`` is the file for records that SQL refuses."""
        self._engine = engine
        self._migrate: Callable[[], None] | None = migrate
        self._aside = aside

    def move(self, portion: Portion) -> Moved:
        """Move a portion, or the beginning of a large one, in one transaction.

        Whatever SQL raises is left to the caller: nothing was moved then.
        """
        self.prepare()
        if portion.start == portion.end:
            return Moved(portion.end)
        end, payloads = read_portion(
            Path(portion.path), portion.start, portion.end, N_RECORDS, N_BYTES
        )
        moved = Moved(end)
        records: list[SingleRecord] = []
        for payload in payloads:
            try:
                records += flatten(decode_record(payload))
            except msgspec.MsgspecError:
                self._set_aside(payload, moved)
        try:
            store_records(self._engine, records)
        except (StatementError, ValueError, OverflowError) as error:
            if not _is_poison(error):
                raise
            self._move_singly(records, moved)
        for record in records:
            moved.note(record)
        return moved

    def prepare(self) -> None:
        """Bring the database's tables to this version of the code."""
        if self._migrate is not None:
            self._migrate()
            self._migrate = None

    def close(self) -> None:
        """Let go of the database."""
        self._engine.dispose()

    def _move_singly(self, records: list[SingleRecord], moved: Moved) -> None:
        """Store what SQL takes; one impossible record must not hold up the rest for ever."""
        for record in records:
            try:
                store_records(self._engine, [record])
            except (StatementError, ValueError, OverflowError) as error:
                if not _is_poison(error):
                    raise
                self._set_aside(encode_record(record), moved)

    def _set_aside(self, payload: bytes, moved: Moved) -> None:
        with self._aside.open("ab") as file:
            file.write(frame(payload))
        moved.n_set_aside += 1


def mover(work: Work) -> Mover:
    """A mover that opens its own connections."""

    def migrate() -> None:
        # One process at a time: the others then find it done.
        with Path(work.migration_lock).open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            upgrade(work.url)

    return Mover(open_engine(bounded_url(work.url)), migrate, Path(work.aside))


def main() -> None:
    """Move what is asked for on standard input until it ends."""
    # Whoever started this decides when it ends: by closing its input, however it ends itself.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    os.nice(NICENESS)
    begin = receive(sys.stdin.buffer)
    if begin is None:
        return
    mine = mover(msgspec.msgpack.decode(begin, type=Work))
    with contextlib.suppress(BrokenPipeError):
        while (content := receive(sys.stdin.buffer)) is not None:
            portion = msgspec.msgpack.decode(content, type=Portion)
            try:
                moved = mine.move(portion)
            except Exception as error:  # its message may hold rows; its kind says enough
                moved = Moved(portion.start, failure=type(error).__name__)
            send(sys.stdout.buffer, moved)


def _is_poison(error: Exception) -> bool:
    """Whether the record's values are at fault, not the database or this code."""
    cause = error.orig if isinstance(error, StatementError) else error
    return isinstance(error, DataError | IntegrityError) or isinstance(
        cause, ValueError | OverflowError
    )


if __name__ == "__main__":
    main()
