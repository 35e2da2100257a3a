"""One run of the loop for one problem: its settings, its lease, its clock, its commits."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from loguru import logger
from prefect.context import FlowRunContext
from sqlalchemy import Connection
from sqlalchemy.engine import Engine
from sqlalchemy.exc import SQLAlchemyError

from learning import alert_text
from learning.alert import Alert
from learning.problem import Problem
from learning.rows import Schema
from settings import Settings, get_settings
from storage.database import open_engine, reading, upgrade, writing
from storage.kill_points import arm, reach
from storage.leases import Lease, LeaseLostError, acquire, fence, kept
from storage.outbox import post
from storage.problems import load_problem, problem_folders
from storage.runs import abandon_dead_runs, commit_step, end_run, previous_run, start_run
from storage.schemas import read_schema
from tasks.policy import note_policy


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
        with writing(self.engine) as connection:
            fence(connection, self.lease)
            yield connection

    def alert(self, connection: Connection, alert: Alert, part: str = "") -> None:
        """Put an alert into the outbox, in the same transaction as what it tells of."""
        event_id = f"{self.run_id}:{alert.kind}{':' + part if part else ''}"
        rules = self.problem.alerts
        post(connection, self.name, alert, event_id, datetime.now(UTC), self.now, rules)

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
    reach("run.begun")
    if dead:
        logger.warning("{}: {} earlier runs ended without a word", problem.name, len(dead))
    return Run(settings, engine, problem, lease, run_id, flow, now)


@contextmanager
def _ended(run: Run) -> Iterator[None]:
    try:
        yield
    except LeaseLostError:
        raise
    except Exception as error:
        try:
            with run.commit() as connection:
                text = f"{type(error).__name__}: {error}"
                end_run(connection, run.run_id, "failed", text[:2000])
                run.alert(connection, alert_text.failed(run.flow, text, run.column_names))
        except (LeaseLostError, SQLAlchemyError) as second:
            logger.warning("{}: the failure was not written down: {}", run.name, second)
        raise
    with run.commit() as connection:
        end_run(connection, run.run_id, "done", "")
        run.alert(connection, alert_text.recovered(run.flow))
    reach("run.ended")


def is_covered(settings: Settings, problem: str, flow: str, due: datetime) -> bool:
    """Whether a run of this flow already began after a scheduled run was due.

    After downtime the late runs all arrive at once; the first does the work, the rest are covered.
    """
    try:
        engine = open_engine(settings.sql_url)
        try:
            with reading(engine) as connection:
                last = previous_run(connection, problem, flow)
        finally:
            engine.dispose()
    except SQLAlchemyError:
        return False
    return last is not None and last.state == "done" and last.started_at > due
