"""What the journal still owes to SQL: the segments of this process and of dead ones."""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

from loguru import logger

from storage.segments import DRAINED_SUFFIX, SUFFIX, Segment, has_more, read_frames, sync_folder

LOCK = "lock"


@dataclass
class Folder:
    """A journal folder that this process holds the lock of."""

    path: Path
    lock: int
    segments: list[Segment] = field(default_factory=list)


class Backlog:
    """The undrained segments, oldest first. Safe to use from the writer and the drainer.

    ``reuse`` takes over a drained segment of this process; it says no where it does not want it.
    """

    def __init__(self, root: Path, reuse: Callable[[Path], bool]) -> None:
        self._root, self._reuse = root, reuse
        self.own = _new_folder(root)
        self._folders = [self.own]
        self._waiting: deque[Segment] = deque()
        self._mutex = threading.Lock()
        self.n_bytes = 0

    def open_segment(self, name: str) -> Segment:
        """A new, empty segment of this process, behind all others."""
        segment = Segment(self.own.path / name)
        with self._mutex:
            self.own.segments.append(segment)
            self._waiting.append(segment)
        return segment

    def grow(self, segment: Segment, end: int) -> None:
        """Say that a segment is durable up to ``end``."""
        with self._mutex:
            self.n_bytes += end - segment.size
            segment.size = end

    def adopt(self) -> list[tuple[Segment, int, bytes]]:
        """Take over what dead processes left: whole records as (segment, offset, payload)."""
        found = []
        known = {folder.path for folder in self._folders}
        for path in sorted(self._root.iterdir()):
            if path.name.startswith(".") or path in known or not path.is_dir():
                continue
            lock = _lock(path)
            if lock is not None:
                found += self._recover(Folder(path, lock))
        return found

    def oldest(self) -> Segment | None:
        """The oldest segment with durable records that are not drained."""
        with self._mutex:
            return next((s for s in self._waiting if s.drained < s.size), None)

    def release(self, segment: Segment, end: int) -> None:
        """Say that a segment is in SQL up to ``end``, or is damaged when that is where it began.

        Segments and adopted folders that are done are removed.
        """
        if end == segment.drained:
            logger.error("journal segment {} is damaged: set aside", segment.path)
            segment.is_torn = True
            end = segment.size
        with self._mutex:
            self.n_bytes -= end - segment.drained
            segment.drained = end
        self.tidy()

    def tidy(self) -> None:
        """Remove what is drained: sealed segments, and the folders of dead processes."""
        with self._mutex:
            for folder in list(self._folders):
                for segment in [s for s in folder.segments if s.is_sealed and s.drained >= s.size]:
                    folder.segments.remove(segment)
                    self._waiting.remove(segment)
                    if segment.is_torn or folder is not self.own or not self._reuse(segment.path):
                        _discard(segment)
                if folder is not self.own and not folder.segments:
                    self._folders.remove(folder)
                    _dissolve(folder)

    def close(self) -> None:
        """Let go of the locks; the own folder goes too when nothing is left in it."""
        self.tidy()
        for folder in self._folders:
            if folder.segments:
                os.close(folder.lock)
            else:
                _dissolve(folder)
        self._folders = []

    def _recover(self, folder: Folder) -> list[tuple[Segment, int, bytes]]:
        found = []
        for path in sorted(folder.path.glob("*" + SUFFIX)):
            segment = Segment(path, is_sealed=True)
            for end, payload in read_frames(path, 0):
                found.append((segment, segment.size, payload))
                segment.size = end
            segment.is_torn = has_more(path, segment.size)
            folder.segments.append(segment)
        with self._mutex:
            self._folders.append(folder)
            self._waiting.extendleft(reversed(folder.segments))
            self.n_bytes += sum(segment.size for segment in folder.segments)
        self.tidy()
        return found


def _new_folder(root: Path) -> Folder:
    # Locked before it gets the name that others look for: nobody can adopt it half made.
    name = uuid4().hex[:12]
    draft = root / f".{name}"
    draft.mkdir(parents=True)
    lock = _lock(draft)
    if lock is None:
        raise OSError(f"{draft} is locked by somebody else")
    draft.rename(root / name)
    sync_folder(root)
    return Folder(root / name, lock)


def _lock(folder: Path) -> int | None:
    """Descriptor of a folder's lock, or None while its owner lives or when it has just gone."""
    try:
        descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(descriptor).st_nlink == 1:
            return descriptor
    except BlockingIOError:
        pass
    os.close(descriptor)
    return None


def _discard(segment: Segment) -> None:
    # Bytes that nobody could read are kept for a person to look at.
    if segment.is_torn:
        aside = segment.path.parent.parent / f".torn-{segment.path.parent.name}-{segment.path.name}"
        segment.path.rename(aside)
        logger.warning("journal segment ends in an unreadable record: kept as {}", aside)
    else:
        segment.path.unlink(missing_ok=True)


def _dissolve(folder: Folder) -> None:
    with contextlib.suppress(OSError):
        for path in folder.path.glob("*" + DRAINED_SUFFIX):
            path.unlink(missing_ok=True)
        (folder.path / LOCK).unlink(missing_ok=True)
        folder.path.rmdir()
    os.close(folder.lock)
