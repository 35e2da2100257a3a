"""Runs that end without a word of their own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from settings import Settings
from storage.database import open_engine, upgrade, writing
from storage.tables import alerts, leases, runs
from tasks.flow_ends import Ended, tell_of_end
from tasks.run import KILLED, Run, loop_run
from tests.factories import rows_of, small_settings

FLOW_RUN = "9b2f0e3a-8a47-4f3c-9d43-0a6f3f2f7d11"


@pytest.fixture
def small(tmp_path: Path) -> Settings:
    """Settings of an empty home with the small problem and its database."""
    settings = small_settings(tmp_path / "home")
    settings.home.mkdir(exist_ok=True)
    upgrade(settings.sql_url)
    return settings


def ended(**changes: Any) -> Ended:
    told = {"flow": "monitor", "flow_run_id": FLOW_RUN, "problems": ("small",), "message": "x",
            "is_watched": False}  # fmt: skip
    return Ended(**{**told, **changes})


def began(settings: Settings, state: str) -> None:
    """A run within the flow run that stands in a state."""
    with loop_run("small", "monitor", settings=settings):
        pass
    engine = open_engine(settings.sql_url)
    with writing(engine) as connection:
        connection.execute(update(runs).values(flow_run_id=FLOW_RUN, state=state))
    engine.dispose()


def test_a_run_that_never_began_is_an_incident_told_once(small: Settings) -> None:
    assert tell_of_end(small, ended(message="The flow could not be loaded")) == 1
    assert tell_of_end(small, ended(message="The flow could not be loaded")) == 0
    (alert,) = rows_of(small, alerts)
    assert (alert.kind, alert.problem, alert.phase) == ("failed", "small", "opened")
    assert "The flow could not be loaded" in alert.text
    assert alert.state == "logged"


def test_who_started_it_sees_that_it_never_began(small: Settings) -> None:
    assert tell_of_end(small, ended(is_watched=True)) == 0


@pytest.mark.parametrize(("state", "n_told"), [("running", 1), ("failed", 0), ("done", 0)])
def test_only_what_the_run_did_not_tell_itself_is_told(
    small: Settings, state: str, n_told: int
) -> None:
    began(small, state)
    assert tell_of_end(small, ended(is_watched=True)) == n_told


def test_a_problem_that_nobody_has_is_told_of_to_nobody(small: Settings) -> None:
    assert tell_of_end(small, ended(problems=("chrun",))) == 0


def test_the_next_run_tells_of_one_whose_process_was_killed(small: Settings) -> None:
    class Killed(BaseException):
        """What no handler of errors sees, like a signal."""

    def die(run: Run) -> None:
        raise Killed

    with pytest.raises(Killed), loop_run("small", "retrain", settings=small) as run:
        die(run)
    assert rows_of(small, leases)[0].problem == "small"
    with loop_run("small", "continual", settings=small):
        pass
    (alert,) = rows_of(small, alerts)
    assert alert.title == "retrain failed"
    assert KILLED.partition(";")[0] in alert.text
