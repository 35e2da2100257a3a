"""The parts of one server process, started and stopped together."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

from api import sql
from api.auth import Gate
from api.batch_body import Workroom
from api.claims import Claims
from api.drainer import Drainer
from api.errors import storage_unavailable
from api.facts import FactBoard
from api.gathering import Gathering
from api.limits import Limits
from api.metrics import Metrics
from api.mover import MoverBeside, MoverHere
from api.recorder import Recorder
from api.slot import Slot
from api.stored import StoredAnswers
from api.traffic import Traffic
from settings import Settings
from storage.credentials import sqlite_path
from storage.drain_messages import Work
from storage.journal import Journal
from storage.kill_points import arm
from storage.live_labels import LiveLabels
from storage.neighbours import Neighbours

if TYPE_CHECKING:
    from sqlalchemy import Engine

SQL_SECONDS = 2.0
SILENCE_SECONDS = 5.0
SQL_THREADS = 4
SETTLE_TRIES = 5
SET_ASIDE = ".set-aside.log"

P = ParamSpec("P")
T = TypeVar("T")
N = TypeVar("N", str, list[str])


class Runtime:
    """Slots, journal, drainer, tokens, facts and metrics of one process."""

    def __init__(
        self,
        settings: Settings,
        problems: Sequence[str],
        shared: Path | None = None,
        is_alone: bool = True,
    ) -> None:
        """Create what needs no thread; the workers of one server share the folder ``shared``.

        Unless ``is_alone``, a process beside this one moves the journal into SQL.
        """
        self.settings = settings
        if settings.kill_at is not None:
            arm(settings.kill_at)
        self.problems = tuple(problems)
        self.is_alone = is_alone
        self._engine: Engine | None = None
        self._opening = threading.Lock()
        if sqlite_path(settings.sql_url) is None:
            _ = self.engine  # an impossible address is told at once
        self.metrics = Metrics(shared)
        self.gate = Gate(settings, lambda: sql.load_tokens(settings.sql_url, lambda: self.engine))
        self.gate.limits = self.limits = Limits(
            settings.api_rate_limit, settings.api_concurrency_limit, self.metrics.registry
        )
        self.facts = FactBoard(lambda: sql.read_facts(self.engine, self.problems), self.problems)
        memory = settings.home / "serving"
        self.slots = {
            problem: Slot(settings.store, memory, problem, self.metrics)
            for problem in self.problems
        }
        self.live = LiveLabels(memory / "live")
        self.traffic = Traffic(settings.store, self.problems, self.metrics)
        self._executor = ThreadPoolExecutor(SQL_THREADS, thread_name_prefix="sql")
        self._silent_until = float("-inf")
        self.workroom = Workroom()
        self.recorder: Recorder
        self.drainer: Drainer
        self.neighbours: Neighbours
        self.claims: Claims
        self.answers: StoredAnswers
        self.gatherings: dict[str, Gathering]

    @property
    def engine(self) -> Engine:
        """The database; its libraries are loaded when it is first asked."""
        with self._opening:
            if self._engine is None:
                self._engine = sql.open_engine(self.settings.sql_url)
            return self._engine

    def start(self) -> None:
        """Recover the journal, load the models, begin to follow pointers, tokens and SQL."""
        settings = self.settings
        root = settings.home / "journal"
        root.mkdir(parents=True, exist_ok=True)
        journal = Journal(root, settings.journal_limit_mb * 1024 * 1024)
        self.recorder = Recorder(journal)
        self.recorder.recover()
        self.neighbours = Neighbours(root, journal.folder)
        self.claims = Claims(settings.home / "serving" / ".claims")
        self.answers = StoredAnswers(self.recorder, self.neighbours, self._find_answers)
        self.gatherings = {
            problem: Gathering(problem, self.recorder, self.metrics) for problem in self.problems
        }
        self.drainer = Drainer(self.recorder, self._mover(root), self.metrics.waiting)
        self.metrics.start()
        self.traffic.start()
        self.gate.start()
        for slot in self.slots.values():
            slot.start()
        self.drainer.start()

    def discard(self) -> None:
        """Let go of what a runtime holds that never started."""
        self.workroom.close()
        self.facts.close()
        self._executor.shutdown()
        self._dispose()

    def stop(self) -> None:
        """Stop everything; what SQL did not take waits in the journal for the next process."""
        for slot in self.slots.values():
            slot.stop()
        self.gate.stop()
        self.drainer.stop()
        self.workroom.close()
        self.recorder.journal.close()
        self.claims.close()
        self.metrics.stop()
        self.traffic.stop()
        self.facts.close()
        self._executor.shutdown(wait=False, cancel_futures=True)
        self._dispose()

    async def _find_answers(self, problem: str, names: list[str]) -> dict[str, dict[str, Any]]:
        if self.drainer.failure is not None:
            raise storage_unavailable()
        return await self.ask(sql.find_answers, problem, names)

    def _mover(self, root: Path) -> MoverHere | MoverBeside:
        lock = self.settings.home / "serving" / ".migration"
        work = Work(self.settings.sql_url, str(lock), str(root / SET_ASIDE))
        return MoverHere(work) if self.is_alone else MoverBeside(work)

    def _load_sql(self) -> None:
        sql.load()
        _ = self.engine

    def _dispose(self) -> None:
        if self._engine is not None:
            self._engine.dispose()

    async def ask(
        self, question: Callable[Concatenate[Engine, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """What SQL answers, asked off the event loop.

        Raises ApiError 503 when it does not answer in time.
        """
        if time.monotonic() < self._silent_until:
            raise storage_unavailable()
        loop = asyncio.get_running_loop()
        if self._engine is None:
            # However long its libraries take to load, the database is not to blame.
            await loop.run_in_executor(self._executor, self._load_sql)
        asked: Any = loop.run_in_executor(
            self._executor, lambda: question(self.engine, *args, **kwargs)
        )
        try:
            answer: T = await asyncio.wait_for(asked, SQL_SECONDS)
        except TimeoutError:
            # One request waits for a database that hangs, those after it do not.
            self._silent_until = time.monotonic() + SILENCE_SECONDS
            raise storage_unavailable() from None
        except Exception:  # drivers raise what they like when a connection breaks
            raise storage_unavailable() from None
        return answer

    async def ask_settled(
        self, question: Callable[[Engine, str, N], T], problem: str, names: N
    ) -> T:
        """Like `ask`, asked again when one of these records moved from the journal meanwhile.

        Else it could be missed in both: not yet in SQL when asked, gone from the journal when
        looked for.
        """
        keys = [(problem, name) for name in ([names] if isinstance(names, str) else names)]
        for _ in range(SETTLE_TRIES):
            before = self.recorder.n_forgotten
            answer = await self.ask(question, problem, names)
            if not self.recorder.has_moved(keys, before):
                return answer
        raise storage_unavailable()
