"""One request at a time for each id that clients choose, in this process and its siblings."""

from __future__ import annotations

import asyncio
import fcntl
import os
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

PAUSE_SECONDS = 0.002
PLACES = 2**30


class Claims:
    """Claims on ids, as byte locks of one shared file: a process that dies lets go of its own.

    Two ids may share a place, which only makes one wait for the other.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        self._held: dict[int, asyncio.Event] = {}

    @asynccontextmanager
    async def hold(self, problem: str, prediction_id: str) -> AsyncIterator[None]:
        """Nobody else answers this id meanwhile."""
        place = zlib.crc32(f"{problem}/{prediction_id}".encode()) % PLACES
        while (others := self._held.get(place)) is not None:
            await others.wait()
        released = self._held[place] = asyncio.Event()
        try:
            while not self._lock(place):
                await asyncio.sleep(PAUSE_SECONDS)
            yield
        finally:
            fcntl.lockf(self._file, fcntl.LOCK_UN, 1, place)
            del self._held[place]
            released.set()

    def close(self) -> None:
        """Let go of everything."""
        os.close(self._file)

    def _lock(self, place: int) -> bool:
        try:
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, place)
        except BlockingIOError:
            return False
        return True
