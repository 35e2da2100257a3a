"""Segment files made ahead: drained ones to be written again, or new ones full of zeros.

To append, a file system must also write down that the file grew, and shares that with whatever else
is written to it; to overwrite it need not, and a sync takes little more than half the time. Making
a file of zeros writes as much as its records will, which a file that is used again saves.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections import deque
from pathlib import Path

from storage.segments import BLOCK_BYTES, DRAINED_SUFFIX, END, REUSED_SUFFIX, SUFFIX, sync_folder

BLOCK = bytes(BLOCK_BYTES)
LEAST_BYTES = 1024 * 1024
# Drained files that wait to be used again.
MOST_DRAINED = 4


class Spare:
    """At most one file, made under its final name by a thread that ends when it is there.

    Who reads it finds no record. Drained files are offered by another thread.
    """

    def __init__(self, n_bytes: int) -> None:
        self._n_bytes = n_bytes
        self._file: int | None = None
        self._path: Path | None = None
        self._making: threading.Thread | None = None
        self._is_wanted = True
        self._is_closed = False
        self._drained: deque[Path] = deque()

    @property
    def is_ready(self) -> bool:
        """Whether a file can be taken."""
        return self._file is not None

    @property
    def is_making(self) -> bool:
        """Whether a file is on its way."""
        return self._making is not None and self._making.is_alive()

    @property
    def _is_worth_it(self) -> bool:
        return self._n_bytes >= LEAST_BYTES

    def offer(self, path: Path) -> bool:
        """Take over a drained segment, to be written again; False where it may as well go."""
        with contextlib.suppress(OSError):
            n_bytes = path.stat().st_size
            is_wanted = self._is_worth_it and not self._is_closed
            has_room = len(self._drained) < MOST_DRAINED
            if is_wanted and has_room and self._n_bytes <= n_bytes <= 2 * self._n_bytes:
                self._drained.append(path.rename(path.with_suffix(DRAINED_SUFFIX)))
                return True
        return False

    def begin(self, path: Path) -> None:
        """Begin to make a file; small ones are not worth it."""
        if not self._is_worth_it or self.is_making or self.is_ready:
            return
        self._is_wanted = True
        self._making = threading.Thread(target=self._make, args=(path,), name="spare", daemon=True)
        self._making.start()

    def abandon(self) -> None:
        """Let the file that is on its way be removed when it is there: a later one was needed."""
        self._is_wanted = False

    def take(self) -> tuple[int, Path] | None:
        """The file, open for writing, and its path; None when none is ready."""
        file, path = self._file, self._path
        if file is None or path is None:
            return None
        self._file = self._path = None
        return file, path

    def close(self) -> None:
        """Remove the files that nobody took."""
        self._is_closed = True
        self.abandon()
        if self._making is not None:
            self._making.join()
        if (taken := self.take()) is not None:
            os.close(taken[0])
            taken[1].unlink(missing_ok=True)
        while self._drained:
            self._drained.popleft().unlink(missing_ok=True)

    def _make(self, path: Path) -> None:
        # Without room or right for it, segments grow as they are written: slower, no worse.
        with contextlib.suppress(OSError):
            path, file = self._reuse(path) or (path, self._create(path))
            if self._is_wanted:
                self._path = path
                self._file = file
            else:
                os.close(file)
                path.unlink(missing_ok=True)

    def _reuse(self, path: Path) -> tuple[Path, int] | None:
        """A drained file under another name, its old records no longer read."""
        try:
            old = self._drained.popleft()
        except IndexError:
            return None
        path = path.with_name(path.name.removesuffix(SUFFIX) + REUSED_SUFFIX)
        file = os.open(old, os.O_WRONLY)
        try:
            os.pwrite(file, END, 0)
            os.fdatasync(file)
            old.rename(path)
            sync_folder(path.parent)
        except OSError:
            os.close(file)
            old.unlink(missing_ok=True)
            path.unlink(missing_ok=True)
            raise
        return path, file

    def _create(self, path: Path) -> int:
        """A new file, full of zeros."""
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            self._fill(file)
            sync_folder(path.parent)
        except OSError:
            os.close(file)
            path.unlink(missing_ok=True)
            raise
        return file

    def _fill(self, file: int) -> None:
        written = 0
        while written < self._n_bytes and self._is_wanted:
            written += os.write(file, BLOCK[: self._n_bytes - written])
        os.fsync(file)
