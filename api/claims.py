"""One request at a time for each id that clients choose, in this process and its siblings."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import struct
import zlib
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

PAUSE_SECONDS = 0.002
PLACES = 2**30
# Of many claims, before other requests get their turn.
AT_ONCE = 50
# struct flock of 64-bit Linux. Locks of an open file rather than of a process, where there are
# such: closing another descriptor of the file does not lose them.
FLOCK = struct.Struct("@hhqqi0q")
SET_LOCK: int = getattr(fcntl, "F_OFD_SETLK", fcntl.F_SETLK)


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
        async with self._hold(_place("answer", problem, prediction_id)):
            yield

    @asynccontextmanager
    async def _hold(self, place: int) -> AsyncIterator[None]:
        while (others := self._held.get(place)) is not None:
            await others.wait()
        released = self._held[place] = asyncio.Event()
        try:
            while not self._lock(place):
                await asyncio.sleep(PAUSE_SECONDS)
            yield
        finally:
            self._set(fcntl.F_UNLCK, place)
            del self._held[place]
            released.set()

    @asynccontextmanager
    async def hold_all(self, problem: str, names: Iterable[str]) -> AsyncIterator[None]:
        """Nobody else labels these predictions meanwhile."""
        # Always in the same order, so that two who want the same never wait for each other.
        places = sorted({_place("label", problem, name) for name in names})
        async with AsyncExitStack() as stack:
            for place in places:
                await stack.enter_async_context(self._hold(place))
            yield

    @asynccontextmanager
    async def hold_answers(self, problem: str, names: Iterable[str]) -> AsyncIterator[None]:
        """Nobody else answers these ids meanwhile; the same as `hold`, for thousands of them."""
        places = sorted({_place("answer", problem, name) for name in names})
        released = asyncio.Event()
        taken: list[int] = []
        try:
            for place in places:
                while (others := self._held.get(place)) is not None:
                    await others.wait()
                self._held[place] = released
                taken.append(place)
                while not self._lock(place):
                    await asyncio.sleep(PAUSE_SECONDS)
                if len(taken) % AT_ONCE == 0:
                    await asyncio.sleep(0)
            yield
        finally:
            for place in taken:
                self._set(fcntl.F_UNLCK, place)
                del self._held[place]
            released.set()

    def close(self) -> None:
        """Let go of everything."""
        os.close(self._file)

    def _lock(self, place: int) -> bool:
        try:
            self._set(fcntl.F_WRLCK, place)
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EAGAIN):
                return False
            raise
        return True

    def _set(self, kind: int, place: int) -> None:
        fcntl.fcntl(self._file, SET_LOCK, FLOCK.pack(kind, os.SEEK_SET, place, 1, 0))


def _place(kind: str, problem: str, name: str) -> int:
    return zlib.crc32(f"{kind}/{problem}/{name}".encode()) % PLACES
