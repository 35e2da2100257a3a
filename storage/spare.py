"""Segment files made ahead, full of zeros.

To append, a file system must also write down that the file grew, and shares that with whatever else
is written to it; to overwrite it need not, and a sync takes little more than half the time.
"""

from __future__ import annotations

import contextlib
import os
import threading
from pathlib import Path

from storage.segments import BLOCK_BYTES, sync_folder

BLOCK = bytes(BLOCK_BYTES)
LEAST_BYTES = 1024 * 1024


class Spare:
    """At most one file of zeros, made under its final name by a thread that ends when it is there.

    Who reads a segment finds no record in zeros.
    """

    def __init__(self, n_bytes: int) -> None:
        self._n_bytes = n_bytes
        self._file: int | None = None
        self._path: Path | None = None
        self._making: threading.Thread | None = None
        self._is_wanted = True

    @property
    def is_ready(self) -> bool:
        """Whether a file can be taken."""
        return self._file is not None

    @property
    def is_making(self) -> bool:
        """Whether a file is on its way."""
        return self._making is not None and self._making.is_alive()

    def begin(self, path: Path) -> None:
        """Begin to make a file; small ones are not worth it."""
        if self._n_bytes < LEAST_BYTES or self.is_making or self.is_ready:
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
        """Remove the file that nobody took."""
        self.abandon()
        if self._making is not None:
            self._making.join()
        if (taken := self.take()) is not None:
            os.close(taken[0])
            taken[1].unlink(missing_ok=True)

    def _make(self, path: Path) -> None:
        # Without room or right for it, segments grow as they are written: slower, no worse.
        with contextlib.suppress(OSError):
            file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            try:
                self._fill(file)
                sync_folder(path.parent)
            except OSError:
                os.close(file)
                path.unlink(missing_ok=True)
                raise
            if self._is_wanted:
                self._path = path
                self._file = file
            else:
                os.close(file)
                path.unlink(missing_ok=True)

    def _fill(self, file: int) -> None:
        written = 0
        while written < self._n_bytes and self._is_wanted:
            written += os.write(file, BLOCK[: self._n_bytes - written])
        os.fsync(file)
