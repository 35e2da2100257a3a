"""Tell of a flow run that ended badly without a word of its own."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection

from learning import alert_text
from learning.alert_rules import AlertRules
from settings import Settings
from storage.database import StorageError, open_engine, upgrade, writing
from storage.outbox import post
from storage.problems import ProblemError, load_problem, problem_folders
from storage.runs import states_of_flow_run
from tasks.notify import send_alerts

LONGEST_RUN = timedelta(days=2)


@dataclass(frozen=True)
class Ended:
    """A flow run that failed or crashed; ``is_watched``: by the person who started it.

    ``comes_again``: the same flow is run again without anybody's asking.
    """

    flow: str
    flow_run_id: str
    problems: tuple[str, ...]
    message: str
    is_watched: bool
    comes_again: bool = True


def tell_of_end(settings: Settings, ended: Ended) -> int:
    """Post an alert for each problem that the run told nothing of, and send it; returns how many.

    A run that did not even begin for a problem is told of only where nobody watched it: a person
    who mistyped a parameter sees that in the run. Raises SQLAlchemyError when the database is
    away.
    """
    upgrade(settings.sql_url)  # a run that never began may be the first
    engine = open_engine(settings.sql_url)
    try:
        with writing(engine) as connection:
            since = datetime.now(UTC) - LONGEST_RUN
            known = states_of_flow_run(connection, ended.flow, ended.flow_run_id, since)
            silent = [
                name
                for name in ended.problems
                if known.get(name) == "running" or (name not in known and not ended.is_watched)
            ]
            n_told = sum(_tell(connection, settings, ended, name) for name in silent)
    finally:
        engine.dispose()
    if n_told:
        send_alerts(settings)
    return n_told


def _tell(connection: Connection, settings: Settings, ended: Ended, problem: str) -> bool:
    rules = AlertRules()
    try:
        rules = load_problem(problem, problem_folders(settings)).alerts
    except (ProblemError, StorageError, OSError):
        if problem not in settings.active:
            return False  # nobody has it
    alert = alert_text.failed(ended.flow, ended.message, (), ended.comes_again)
    event_id = f"{ended.flow_run_id}:{problem}:failed"
    return post(connection, problem, alert, event_id, datetime.now(UTC), None, rules)
