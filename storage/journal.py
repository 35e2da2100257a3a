"""The durable local log of predictions and feedback, before SQL has them.

Each process writes its own folder, held by a lock; a folder whose lock is free belonged to a
process that died, and whoever finds it drains it (`storage.backlog`). Records are bytes here.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import queue
import threading
import time
from pathlib import Path

from loguru import logger

from storage.backlog import Backlog
from storage.segments import (
    END,
    FRAME,
    RECORD_LIMIT,
    SUFFIX,
    Segment,
    frame,
    read_at,
    seed_of,
    sync_folder,
)
from storage.spare import Spare

QUICK_SECONDS = 0.002
SEGMENT_BYTES = 8 * 1024 * 1024


class JournalFullError(Exception):
    """The journal cannot take a record now: its limit is reached or the disk refuses."""


class Entry:
    """One record on its way: in memory until it is durable, then a place in a segment."""

    __slots__ = ("created", "done", "offset", "payload", "segment")

    def __init__(
        self, payload: bytes | None, segment: Segment | None = None, offset: int = 0
    ) -> None:
        self.payload = payload
        self.segment = segment
        self.offset = offset
        # Shared by the records of one write.
        self.done: asyncio.Future[None] | None = None
        self.created = time.time()

    async def durable(self) -> None:
        """Return when the record survives a power cut.

        Raises JournalFullError when it could not be written.
        """
        done = self.done
        if done is not None:
            # Shielded, because others wait for the same write.
            await asyncio.shield(done)

    def read(self) -> bytes | None:
        """The record, or None when it has been drained and its segment removed."""
        payload, segment = self.payload, self.segment
        if payload is not None or segment is None:
            return payload
        return read_at(segment.path, self.offset)


class Turn:
    """The records that share one write; ``done`` is what their requests wait for."""

    __slots__ = ("done", "entries")

    def __init__(self) -> None:
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.entries: list[Entry] = []

    def end(self, error: Exception | None) -> None:
        """Tell those who wait. Called in the event loop."""
        if error is None:
            self.done.set_result(None)
        else:
            self.done.set_exception(error)
            self.done.exception()  # its requests may have gone: then nobody else asks


class Journal:
    """Appends records durably, many requests sharing one write, and hands them out to drain."""

    def __init__(self, root: Path, limit_bytes: int, segment_bytes: int = SEGMENT_BYTES) -> None:
        self._limit = limit_bytes
        self._segment_bytes = max(1, min(segment_bytes, limit_bytes // 4))
        self._spare = Spare(self._segment_bytes)
        self._backlog = Backlog(root, self._spare.offer)
        self._turn: Turn | None = None
        self._queue: queue.SimpleQueue[Turn | None] = queue.SimpleQueue()
        # Each counted by one thread at a time, so that neither needs a lock.
        self._bytes_taken = 0
        self._bytes_settled = 0
        self._number = 0
        self._is_tainted = False
        self._is_ahead = False
        # Turns that the thread has and the loop has not heard of again.
        self._n_handed_over = 0
        self._sync_seconds = 0.0
        self._file, self._active = self._open_segment()
        self._thread = threading.Thread(target=self._write_forever, name="journal", daemon=True)
        self._thread.start()

    @property
    def folder(self) -> Path:
        """Where this process writes."""
        return self._backlog.own.path

    @property
    def backlog_bytes(self) -> int:
        """Bytes that are not in SQL yet."""
        return self._backlog.n_bytes + self._bytes_taken - self._bytes_settled

    def append(self, payload: bytes) -> Entry:
        """Take a record; await `Entry.durable` before telling anyone. Called in an event loop.

        Raises JournalFullError when the limit is reached.
        """
        size = len(payload) + FRAME.size
        if len(payload) > RECORD_LIMIT or self.backlog_bytes + size > self._limit:
            raise JournalFullError("the journal has reached its limit")
        entry = Entry(payload)
        self._bytes_taken += size
        if self._turn is None:
            self._turn = Turn()
            # The requests of one turn of the event loop share one write.
            asyncio.get_running_loop().call_soon(self.flush)
        entry.done = self._turn.done
        self._turn.entries.append(entry)
        return entry

    def flush(self) -> None:
        """Write what was appended without waiting for the turn's end. Called in the event loop.

        On a disk that syncs at once the loop does it itself: handing over to a thread and back
        would take longer. As soon as a sync is slow, the thread writes, so that the loop goes on.
        """
        turn, self._turn = self._turn, None
        if turn is None:
            return
        if self._n_handed_over or self._sync_seconds > QUICK_SECONDS:
            self._n_handed_over += 1
            self._queue.put(turn)
        else:
            turn.end(self._write(turn.entries))

    def adopt(self) -> list[tuple[Entry, bytes]]:
        """Take over what dead processes left; their whole records, oldest first."""
        return [
            (Entry(None, segment, offset), payload)
            for segment, offset, payload in self._backlog.adopt()
        ]

    def oldest(self) -> Segment | None:
        """The oldest segment with durable records that are not in SQL."""
        return self._backlog.oldest()

    def release(self, segment: Segment, end: int) -> None:
        """Say that a segment is in SQL up to ``end``, so that its bytes may go."""
        self._backlog.release(segment, end)

    def close(self) -> None:
        """Write what waits and stop; what is not drained stays for the next process."""
        if self._turn is not None:
            self._queue.put(self._turn)
        self._queue.put(None)
        self._thread.join()
        self._spare.close()
        self._cut()
        self._seal(self._file, self._active)
        self._backlog.close()

    def _write_forever(self) -> None:
        turn: Turn | None
        while (turn := self._queue.get()) is not None:
            turns = [turn]
            with contextlib.suppress(queue.Empty):
                while (more := self._queue.get_nowait()) is not None:
                    turns.append(more)
                self._queue.put(None)  # the end was met while gathering: meet it again
            error = self._write([entry for turn in turns for entry in turn.entries])
            with contextlib.suppress(RuntimeError):  # the loop has closed: nobody waits any more
                turns[0].done.get_loop().call_soon_threadsafe(self._hear, turns, error)

    def _hear(self, turns: list[Turn], error: Exception | None) -> None:
        self._n_handed_over -= len(turns)
        for turn in turns:
            turn.end(error)

    def _write(self, entries: list[Entry]) -> Exception | None:
        """Append and sync; what came in the way, if anything."""
        n_bytes = sum(FRAME.size + len(entry.payload or b"") for entry in entries)
        error: Exception | None = None
        try:
            if self._is_tainted or (self._spare.is_ready and not self._is_ahead):
                self._rotate()
            frames = [frame(entry.payload or b"", self._seed) for entry in entries]
            _write_all(self._file, b"".join([*frames, END]), self._active.size)
            began = time.perf_counter()
            os.fdatasync(self._file)
            self._sync_seconds = time.perf_counter() - began
        except OSError as failure:
            error = JournalFullError(f"the journal cannot be written: {failure.strerror}")
            logger.error("{}", error)
            self._cut_tail()
        else:
            self._place(entries, frames)
        self._bytes_settled += n_bytes
        return error

    def _place(self, entries: list[Entry], frames: list[bytes]) -> None:
        offset = self._active.size
        for entry, content in zip(entries, frames, strict=True):
            # The place first: a reader takes the payload or, failing that, the place.
            entry.segment, entry.offset = self._active, offset
            entry.payload = entry.done = None
            offset += len(content)
        self._backlog.grow(self._active, offset)
        # A file that is on its way is worth waiting for: meanwhile this one grows.
        if offset > self._segment_bytes and not self._spare.is_making:
            with contextlib.suppress(OSError):  # no new file: the old one goes on
                self._rotate()

    def _cut_tail(self) -> None:
        # What follows a half-written record could never be read again, and after a failed sync
        # nobody knows what the file holds: the next record goes to another file or nowhere.
        self._is_tainted = True
        self._cut()

    def _cut(self) -> None:
        with contextlib.suppress(OSError):  # what follows is no record: that is no harm
            os.ftruncate(self._file, self._active.size)

    def _rotate(self) -> None:
        old_file, old = self._file, self._active
        self._file, self._active = self._open_segment()
        self._is_tainted = False
        self._seal(old_file, old)
        self._backlog.tidy()

    def _open_segment(self) -> tuple[int, Segment]:
        """The next file: one made ahead where it is ready, else one that grows."""
        taken = self._spare.take()
        self._is_ahead = taken is not None
        file, path = taken or self._make_segment()
        self._seed = seed_of(path)
        if not self._spare.is_making:
            self._spare.begin(self._next_path())
        return file, self._backlog.open_segment(path.name)

    def _make_segment(self) -> tuple[int, Path]:
        self._spare.abandon()  # it would have an older name
        path = self._next_path()
        file = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
        sync_folder(self.folder)
        return file, path

    def _next_path(self) -> Path:
        self._number += 1
        return self.folder / f"{self._number:08d}{SUFFIX}"

    @staticmethod
    def _seal(file: int, segment: Segment) -> None:
        os.close(file)
        segment.is_sealed = True


def _write_all(file: int, content: bytes, offset: int) -> None:
    view = memoryview(content)
    while view:
        n_written = os.pwrite(file, view, offset)
        view = view[n_written:]
        offset += n_written
