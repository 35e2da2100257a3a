"""One run of the loop for one problem: its settings, its lease, its clock, its commits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from loguru import logger
from prefect.context import FlowRunContext
from prefect.exceptions import ExternalSignal
from sqlalchemy import Connection, Row
from sqlalchemy.engine import Engine
from sqlalchemy.exc import SQLAlchemyError

from learning import alert_text
from learning.alert import Alert
from learning.problem import Problem
from learning.rows import Schema
from learning.turns import BY_THEMSELVES, LOOP, is_early
from settings import Settings, get_settings
from storage.database import open_engine, reading, upgrade, writing
from storage.kill_points import arm, reach
from storage.leases import Lease, LeaseLostError, acquire, fence, kept
from storage.outbox import phase_told, post
from storage.problems import every_of, load_problem, problem_folders
from storage.runs import (
    abandon_dead_runs,
    commit_step,
    end_run,
    flows_of,
    previous_run,
    start_run,
)
from storage.schemas import read_schema
from tasks.asked import AskedInVainError
from tasks.events import Told, announce
from tasks.policy import note_policy

# What a run is told to stop by: Ctrl-C, SIGTERM, a person who cancels it in Prefect.
STOPS = (KeyboardInterrupt, SystemExit, ExternalSignal)
KILLED = "its process ended without a word; killed, out of memory, or the machine went down"


class BusyError(Exception):
    """Another run holds the problem's lease; this one has nothing to do."""


class Run:
    """What each step is given. Not a dataclass, so that Prefect passes it on untouched."""

    def __init__(
        self,
        settings: Settings,
        engine: Engine,
        problem: Problem,
        lease: Lease,
        run_id: str,
        flow: str,
        now: datetime,
    ) -> None:
        self.settings = settings
        self.engine = engine
        self.problem = problem
        self.lease = lease
        self.run_id = run_id
        self.flow = flow
        self.now = now
        self._told: list[Told] = []

    @property
    def name(self) -> str:
        """Name of the problem."""
        return self.problem.name

    @property
    def store(self) -> Path:
        """Root of bundles, pointers and observations."""
        return self.settings.store

    @property
    def schema(self) -> Schema | None:
        """The problem's schema; None until a first batch has told what the file leaves open."""
        return read_schema(self.engine, self.problem)

    @property
    def latest(self) -> datetime | None:
        """The last event time that is believed; None for any, as where a generator makes it up.

        The future begins behind the loop's clock and the wall's: a replay's stands in the past.
        """
        ahead = self.problem.max_ahead
        if ahead is None or ahead.time is None or "generator" in self.problem.sources:
            return None
        return max(self.now, datetime.now(UTC)) + ahead.time

    @property
    def column_names(self) -> frozenset[str]:
        """The columns that the problem or its schema names: what alerts may quote."""
        problem = self.problem
        named = {problem.target, problem.event_time, problem.key, *problem.drop}
        try:
            schema = self.schema
        except SQLAlchemyError:  # where a failure is told, the database may be what failed
            schema = None
        features = problem.features if schema is None else schema.features
        return frozenset(name for name in named if name) | {one.name for one in features}

    @contextmanager
    def commit(self) -> Iterator[Connection]:
        """A write transaction that fails with LeaseLostError once another run has taken over."""
        self._told = []
        with writing(self.engine) as connection:
            fence(connection, self.lease)
            yield connection
        self.announce_told()

    def alert(self, connection: Connection, alert: Alert, part: str = "") -> None:
        """Put an alert into the outbox, in the same transaction as what it tells of.

        Prefect hears of it as an event once that is committed.
        """
        event_id = f"{self.run_id}:{alert.kind}{':' + part if part else ''}"
        rules = self.problem.alerts
        if post(connection, self.name, alert, event_id, datetime.now(UTC), self.now, rules):
            self._told.append(Told(alert, phase_told(connection, event_id)))

    def announce_told(self) -> None:
        """Let Prefect hear of the alerts that were just committed."""
        told, self._told = self._told, []
        announce(self.name, self.run_id, told)

    def done(self, connection: Connection, step: str, **output: object) -> None:
        """Record a step's small result."""
        commit_step(connection, self.run_id, step, output)


def read_clock(settings: Settings, now: datetime | None = None) -> datetime:
    """The loop's time: the argument, else the clock file, else the system's clock; aware UTC."""
    if now is None and settings.clock is not None:
        now = datetime.fromisoformat(settings.clock.read_text().strip())
    if now is None:
        return datetime.now(UTC)
    return now.replace(tzinfo=UTC) if now.tzinfo is None else now.astimezone(UTC)


@contextmanager
def loop_run(
    problem: str, flow: str, now: datetime | None = None, settings: Settings | None = None
) -> Iterator[Run]:
    """Hold the problem's lease for one run, which ends as done or failed whatever happens.

    Raises BusyError while another run holds the lease.
    """
    settings = settings or get_settings()
    if settings.kill_at is not None:
        arm(settings.kill_at)
    loaded = load_problem(problem, problem_folders(settings))
    upgrade(settings.sql_url)
    engine = open_engine(settings.sql_url)
    try:
        lease = acquire(engine, problem)
        if lease is None:
            raise BusyError(f"{problem}: another run is at work; this one does nothing")
        with kept(engine, lease):
            run = _begin(settings, engine, loaded, lease, flow, read_clock(settings, now))
            with _ended(run):
                yield run
    finally:
        engine.dispose()


def _begin(
    settings: Settings, engine: Engine, problem: Problem, lease: Lease, flow: str, now: datetime
) -> Run:
    context = FlowRunContext.get()
    flow_run = context.flow_run if context is not None else None
    with writing(engine) as connection:
        fence(connection, lease)
        flow_run_id = str(flow_run.id) if flow_run is not None else None
        dead = abandon_dead_runs(connection, lease)
        run_id = start_run(connection, lease, flow, now, flow_run_id)
        note_policy(connection, problem)
        run = Run(settings, engine, problem, lease, run_id, flow, now)
        if dead:
            _tell_of_dead(run, connection, dead)
    reach("run.begun")
    run.announce_told()
    return run


def _tell_of_dead(run: Run, connection: Connection, dead: Sequence[str]) -> None:
    """Runs whose process was killed could not tell of it; the next run does."""
    logger.warning("{}: {} earlier runs ended without a word", run.name, len(dead))
    for flow in flows_of(connection, dead):
        told = alert_text.failed(flow, KILLED, (), flow in BY_THEMSELVES)
        run.alert(connection, told, f"dead:{flow}")


@contextmanager
def _ended(run: Run) -> Iterator[None]:
    try:
        yield
    except LeaseLostError:
        raise
    except STOPS:
        # A restart of the stack is no incident; what was half done is taken up by the next run.
        _note_stop(run)
        raise
    except Exception as error:
        try:
            with run.commit() as connection:
                text = f"{type(error).__name__}: {error}"
                end_run(connection, run.run_id, "failed", text[:2000])
                if not isinstance(error, AskedInVainError):
                    run.alert(connection, _failure(run, text))
        except (LeaseLostError, SQLAlchemyError) as second:
            logger.warning("{}: the failure was not written down: {}", run.name, second)
        raise
    with run.commit() as connection:
        end_run(connection, run.run_id, "done", "")
        run.alert(connection, alert_text.recovered(run.flow))
    reach("run.ended")


def _failure(run: Run, text: str) -> Alert:
    context = FlowRunContext.get()
    flow_run = context.flow_run if context is not None else None
    is_scheduled = flow_run is not None and flow_run.auto_scheduled
    comes_again = is_scheduled or run.flow in BY_THEMSELVES
    return alert_text.failed(run.flow, text, run.column_names, comes_again)


def _note_stop(run: Run) -> None:
    try:
        with run.commit() as connection:
            end_run(connection, run.run_id, "abandoned", "it was told to stop")
    except (LeaseLostError, SQLAlchemyError) as second:
        logger.warning("{}: the stop was not written down: {}", run.name, second)


def is_covered(settings: Settings, problem: str, flow: str, due: datetime) -> bool:
    """Whether a run of this flow already began after a scheduled run was due.

    After downtime the late runs all arrive at once; the first does the work, the rest are covered.
    """
    last = _last_done(settings, problem, flow)
    return last is not None and last.started_at > due


def is_too_early(settings: Settings, problem: str, flow: str, due: datetime) -> bool:
    """Whether a scheduled turn of the loop comes before the problem's file wants one."""
    if flow != LOOP:
        return False
    every = every_of(problem, problem_folders(settings))
    last = _last_done(settings, problem, flow)
    return is_early(every, None if last is None else last.started_at, due)


def _last_done(settings: Settings, problem: str, flow: str) -> Row[Any] | None:
    """The last run of a flow, if it did its work; None where the database is away."""
    try:
        engine = open_engine(settings.sql_url)
        try:
            with reading(engine) as connection:
                last = previous_run(connection, problem, flow)
        finally:
            engine.dispose()
    except SQLAlchemyError:
        return None
    return last if last is not None and last.state == "done" else None
