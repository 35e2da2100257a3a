"""What the loop last wrote: asked of SQL rarely, remembered when SQL is away."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from loguru import logger

from api import sql
from storage.values import Facts

FRESH_SECONDS = 1.0
WAIT_SECONDS = 0.5
END_SECONDS = 2.0


class FactBoard:
    """The facts of all problems, at most a second old while SQL answers."""

    def __init__(self, read: Callable[[], Mapping[str, Facts]], problems: Sequence[str]) -> None:
        self._read = read
        self._facts: dict[str, Facts] = {problem: Facts() for problem in problems}
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="facts")
        self._asked_at = float("-inf")
        self._asking: asyncio.Future[None] | None = None
        # Until then nothing was asked: libraries that load slowly say nothing about SQL.
        self._is_loaded = False
        self._is_idle = threading.Event()
        self._is_idle.set()
        self.is_answering = True

    async def current(self) -> Mapping[str, Facts]:
        """The facts; waits at most half a second for SQL and never fails."""
        is_due = time.monotonic() - self._asked_at > FRESH_SECONDS
        if is_due and (self._asking is None or self._asking.done()):
            self._asked_at = time.monotonic()
            loop = asyncio.get_running_loop()
            self._asking = loop.run_in_executor(self._executor, self._ask)
        if self._asking is not None and not self._asking.done():
            done, _ = await asyncio.wait({self._asking}, timeout=WAIT_SECONDS)
            if not done and self._is_loaded:
                self.is_answering = False
        return dict(self._facts)

    def close(self) -> None:
        """Stop asking; a question that SQL answers soon is waited for."""
        self._executor.shutdown(wait=False, cancel_futures=True)
        self._is_idle.wait(END_SECONDS)

    def _ask(self) -> None:
        self._is_idle.clear()
        try:
            sql.load()
            self._is_loaded = True
            self._facts.update(self._read())
            self.is_answering = True
        except Exception as error:
            if self.is_answering:
                logger.warning("SQL does not answer: {}", type(error).__name__)
            self.is_answering = False
        finally:
            self._is_idle.set()
