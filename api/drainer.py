"""Has the journal moved into SQL, at SQL's own pace, and forgets what is there."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Protocol

from loguru import logger

from api.recorder import Recorder
from storage.drain_messages import Moved, Portion

IDLE_SECONDS = 0.1
MAX_WAIT_SECONDS = 5.0
ADOPT_SECONDS = 5.0
# Up to this backlog SQL may lag; it rests this many times as long as a move takes.
CALM_ROWS = 50_000
REST = 2.0
NOTHING = Portion("", 0, 0)


class Moves(Protocol):
    """Who moves records: in this process, or in one of its own."""

    def move(self, portion: Portion) -> Moved:
        """Move a portion of a segment; raises whatever SQL does, when nothing was moved."""

    def close(self) -> None:
        """Stop."""


class Drainer:
    """A thread that has records moved; SQL being away makes it wait longer, up to five seconds."""

    def __init__(
        self,
        recorder: Recorder,
        mover: Moves,
        watch: Callable[[int, float], None] = lambda _n_rows, _oldest: None,
    ) -> None:
        """Create it; ``watch`` is told the backlog's rows and age at each turn."""
        self.failure: str | None = None
        self.n_set_aside = 0
        self._recorder = recorder
        self._mover = mover
        self._watch = watch
        self._is_ready = False
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._drain_forever, name="drainer", daemon=True)

    def start(self) -> None:
        """Begin draining."""
        self._thread.start()

    def stop(self) -> None:
        """Drain what is there, once, and stop."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout=2 * MAX_WAIT_SECONDS)
        self._mover.close()

    def _drain_forever(self) -> None:
        wait = IDLE_SECONDS
        adopted_at = time.monotonic()
        is_stopping = False
        while not is_stopping:
            is_stopping = self._stop.wait(wait)
            self._watch(self._recorder.n_backlog, self._recorder.oldest_seconds)
            try:
                if time.monotonic() - adopted_at > ADOPT_SECONDS:
                    adopted_at = time.monotonic()
                    self._recorder.recover()
                self._drain()
            except Exception as error:  # whatever SQL does, the records stay and wait
                wait = min(MAX_WAIT_SECONDS, wait * 2)
                self._fail(str(getattr(error, "kind", type(error).__name__)))
            else:
                wait = IDLE_SECONDS
                self.failure = None

    def _fail(self, failure: str) -> None:
        if self.failure is None:
            logger.warning("SQL does not take predictions ({}): they wait in the journal", failure)
        self.failure = failure

    def _drain(self) -> None:
        journal = self._recorder.journal
        if not self._is_ready:
            self._mover.move(NOTHING)  # SQL gets its tables before there is anything to move
            self._is_ready = True
        while (segment := journal.oldest()) is not None:
            began = time.monotonic()
            moved = self._mover.move(Portion(str(segment.path), segment.drained, segment.size))
            if moved.n_set_aside:
                self.n_set_aside += moved.n_set_aside
                logger.error("SQL refuses {} records: kept aside", moved.n_set_aside)
            # The index last: who does not find a record there must find it in SQL.
            journal.release(segment, moved.end)
            self._recorder.forget_moved(moved.predictions, moved.labels)
            if self._recorder.n_backlog < CALM_ROWS:
                # SQL and the answers share a disk and its syncs: it is theirs most of the time.
                self._stop.wait(REST * (time.monotonic() - began))
