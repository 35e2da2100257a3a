"""Segment files made ahead, full of zeros.

To append, a file system must also write down that the file grew; to overwrite it need not, and a
sync takes little more than half the time.
"""

from __future__ import annotations

import contextlib
import os
import threading
from pathlib import Path

SPARE = "spare"
BLOCK = bytes(256 * 1024)


class Spare:
    """At most one file of zeros in a folder, made by a thread that ends when it is there."""

    def __init__(self, folder: Path, n_bytes: int) -> None:
        self._path = folder / SPARE
        self._n_bytes = n_bytes
        self._file: int | None = None
        self._making: threading.Thread | None = None
        self._is_closed = False

    def take(self, path: Path) -> int | None:
        """The file under its new name, open for writing; None when none is ready.

        Either way the next one is begun.
        """
        if self._making is not None and self._making.is_alive():
            return None
        file, self._file = self._file, None
        if file is not None:
            try:
                self._path.rename(path)
            except OSError:
                os.close(file)
                file = None
        self._making = threading.Thread(target=self._make, name="spare", daemon=True)
        self._making.start()
        return file

    def close(self) -> None:
        """Remove the file that nobody took."""
        self._is_closed = True
        if self._making is not None:
            self._making.join()
        if self._file is not None:
            os.close(self._file)
            self._file = None
        self._path.unlink(missing_ok=True)

    def _make(self) -> None:
        # Without room or right for it, segments grow as they are written: slower, no worse.
        with contextlib.suppress(OSError):
            file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            try:
                self._fill(file)
            except OSError:
                os.close(file)
                self._path.unlink(missing_ok=True)
                raise
            self._file = file

    def _fill(self, file: int) -> None:
        written = 0
        while written < self._n_bytes and not self._is_closed:
            written += os.write(file, BLOCK[: self._n_bytes - written])
        os.fsync(file)
