"""Moves the journal into SQL, in its own thread and at SQL's own pace."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
from loguru import logger
from sqlalchemy import Engine
from sqlalchemy.exc import DataError, IntegrityError, StatementError

from api.recorder import Recorder
from storage.backlog import Batch
from storage.predictions import (
    SingleRecord,
    decode_record,
    encode_record,
    flatten,
    store_records,
)
from storage.segments import frame

ROWS = 500
IDLE_SECONDS = 0.1
MAX_WAIT_SECONDS = 5.0
ADOPT_SECONDS = 5.0
SET_ASIDE = ".set-aside.log"


class Drainer:
    """A thread that drains; SQL being away makes it wait longer, up to five seconds."""

    def __init__(
        self,
        recorder: Recorder,
        engine: Engine,
        migrate: Callable[[], None],
        root: Path,
        watch: Callable[[int, float], None] = lambda _n_rows, _oldest: None,
    ) -> None:
        """Create it; ``watch`` is told the backlog's rows and age at each turn."""
        self.failure: str | None = None
        self.n_set_aside = 0
        self._recorder = recorder
        self._engine = engine
        self._migrate = migrate
        self._is_migrated = False
        self._watch = watch
        self._aside = root / SET_ASIDE
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
                self._fail(type(error).__name__)
            else:
                wait = IDLE_SECONDS
                self.failure = None

    def _fail(self, failure: str) -> None:
        if self.failure is None:
            logger.warning("SQL does not take predictions ({}): they wait in the journal", failure)
        self.failure = failure

    def _drain(self) -> None:
        if not self._is_migrated:
            self._migrate()
            self._is_migrated = True
        while (batch := self._recorder.journal.next_batch(ROWS)) is not None:
            self._move(batch)

    def _move(self, batch: Batch) -> None:
        records: list[SingleRecord] = []
        for payload in batch.payloads:
            try:
                records += flatten(decode_record(payload))
            except msgspec.MsgspecError:
                self._set_aside(payload)
        try:
            store_records(self._engine, records)
        except (StatementError, ValueError, OverflowError) as error:
            if not _is_poison(error):
                raise
            self._move_singly(records)
        # The index last: who does not find a record there must find it in SQL.
        self._recorder.journal.release(batch)
        self._recorder.forget(records)

    def _move_singly(self, records: list[SingleRecord]) -> None:
        """Store what SQL takes; one impossible record must not hold up the rest for ever."""
        for record in records:
            try:
                store_records(self._engine, [record])
            except (StatementError, ValueError, OverflowError) as error:
                if not _is_poison(error):
                    raise
                self._set_aside(encode_record(record))

    def _set_aside(self, payload: bytes) -> None:
        with self._aside.open("ab") as file:
            file.write(frame(payload))
        self.n_set_aside += 1
        logger.error("SQL refuses a record: kept in {}", self._aside)


def _is_poison(error: Exception) -> bool:
    """Whether the record's values are at fault, not the database or this code."""
    cause = error.orig if isinstance(error, StatementError) else error
    return isinstance(error, DataError | IntegrityError) or isinstance(
        cause, ValueError | OverflowError
    )
