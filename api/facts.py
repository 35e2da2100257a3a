"""What the loop last wrote: asked of SQL rarely, remembered when SQL is away."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

from loguru import logger
from sqlalchemy import Connection, Engine, select

from storage.database import reading
from storage.tables import drift_results, performance_metrics, runs

FRESH_SECONDS = 1.0
WAIT_SECONDS = 0.5


@dataclass(frozen=True)
class Facts:
    """The latest run, drift check and live measurement of one problem; times in Unix seconds."""

    last_run_ended: float | None = None
    drift_share: float | None = None
    live_metric: str | None = None
    live_value: float | None = None


class FactBoard:
    """The facts of all problems, at most a second old while SQL answers."""

    def __init__(self, engine: Engine, problems: Sequence[str]) -> None:
        self._engine = engine
        self._facts: dict[str, Facts] = {problem: Facts() for problem in problems}
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="facts")
        self._asked_at = float("-inf")
        self._asking: asyncio.Future[None] | None = None
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
            if not done:
                self.is_answering = False
        return dict(self._facts)

    def close(self) -> None:
        """Stop asking."""
        self._executor.shutdown(wait=False, cancel_futures=True)

    def _ask(self) -> None:
        try:
            with reading(self._engine) as connection:
                for problem in self._facts:
                    self._facts[problem] = _read(connection, problem)
            self.is_answering = True
        except Exception as error:
            if self.is_answering:
                logger.warning("SQL does not answer: {}", type(error).__name__)
            self.is_answering = False


def _read(connection: Connection, problem: str) -> Facts:
    facts = Facts()
    run = _latest(connection, runs, "ended_at", problem)
    if run is not None:
        facts = replace(facts, last_run_ended=run["ended_at"].timestamp())
    drift = _latest(connection, drift_results, "checked_at", problem)
    if drift is not None:
        facts = replace(facts, drift_share=drift["drift_share"])
    live = _latest(connection, performance_metrics, "measured_at", problem)
    if live is not None:
        facts = replace(facts, live_metric=live["metric"], live_value=live["value"])
    return facts


def _latest(connection: Connection, table: Any, column: str, problem: str) -> Any:
    query = (
        select(table)
        .where(table.c.problem == problem, table.c[column].is_not(None))
        .order_by(table.c[column].desc())
        .limit(1)
    )
    return connection.execute(query).mappings().one_or_none()


def latest_drift(engine: Engine, problem: str) -> dict[str, Any] | None:
    """The newest drift check of a problem, or None before the first."""
    with reading(engine) as connection:
        row = _latest(connection, drift_results, "checked_at", problem)
    return None if row is None else dict(row)
