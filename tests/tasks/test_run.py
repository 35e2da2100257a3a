"""Runs and steps: one at a time, ended whatever happens, tried again only where that may help."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import stamina
from loguru import logger
from sqlalchemy.exc import OperationalError

from flows.each import for_each
from settings import Settings
from storage.database import StorageError
from storage.problems import ProblemError
from storage.tables import alerts, leases, models, runs
from tasks.run import BusyError, is_covered, loop_run, read_clock
from tasks.step import RETRIES, step
from tests.factories import START, drop, rows_of, small_rows, small_run, small_settings, tick


@pytest.fixture
def impatient() -> Iterator[None]:
    """Tries again at once."""
    with stamina.set_testing(True, attempts=RETRIES + 1):
        yield


def test_a_second_run_is_told_that_one_is_at_work(small: Settings) -> None:
    with small_run(small), pytest.raises(BusyError, match="another run is at work"):
        small_run(small).__enter__()
    with small_run(small):
        found = for_each("ingest", "small", None, lambda _run: {}, small)
        assert "another run is at work" in found["small"]["skipped"]


def test_a_run_that_fails_says_so_and_the_next_one_says_it_recovered(small: Settings) -> None:
    def fail(_run: object) -> dict[str, object]:
        raise StorageError("the disk is full")

    with pytest.raises(StorageError):
        for_each("continual", "small", START, fail, small)
    for_each("continual", "small", START, lambda _run: {}, small)
    found = [(row.state, row.reason) for row in sorted(rows_of(small, runs), key=lambda r: r.epoch)]
    assert found == [("failed", "StorageError: the disk is full"), ("done", "")]
    assert [row.kind for row in rows_of(small, alerts)] == ["failed", "recovered"]
    assert {row.holder for row in rows_of(small, leases)} == {""}


def test_only_what_comes_again_by_itself_stays_open_until_it_works(small: Settings) -> None:
    def fail(_run: object) -> dict[str, object]:
        raise StorageError("the disk is full")

    for flow in ("continual", "retrain"):
        with pytest.raises(StorageError):
            for_each(flow, "small", START, fail, small)
    by_itself, by_hand = rows_of(small, alerts)
    assert (by_itself.incident, by_hand.incident) == ("continual", None)
    assert "the next run tries again" in by_itself.text
    assert "Start it again when its cause is gone" in by_hand.text


def test_one_problem_that_fails_does_not_keep_the_others_from_their_turn(small: Settings) -> None:
    both = small.model_copy(update={"active": ("nowhere", "small")})
    seen: list[str] = []

    def note(run: object) -> dict[str, object]:
        seen.append(run.name)  # type: ignore[attr-defined]
        return {}

    with pytest.raises(ProblemError, match="found no problem 'nowhere'"):
        for_each("ingest", None, START, note, both)
    assert seen == ["small"]


def test_the_clock_is_the_argument_then_the_file_then_the_systems(
    small: Settings, tmp_path: Path
) -> None:
    path = tmp_path / "clock"
    path.write_text("2026-03-01T12:00:00\n")
    told = small.model_copy(update={"clock": path})
    assert read_clock(told) == datetime(2026, 3, 1, 12, tzinfo=UTC)
    assert read_clock(told, datetime(2026, 4, 1)) == datetime(2026, 4, 1, tzinfo=UTC)  # noqa: DTZ001
    assert abs(read_clock(small) - datetime.now(UTC)) < timedelta(minutes=1)


def test_a_late_run_is_covered_by_one_that_began_after_it_was_due(small: Settings) -> None:
    due = datetime.now(UTC)
    assert not is_covered(small, "small", "ingest", due)
    with loop_run("small", "ingest", settings=small):
        assert not is_covered(small, "small", "ingest", due)
    assert is_covered(small, "small", "ingest", due)
    assert not is_covered(small, "small", "ingest", datetime.now(UTC))
    assert not is_covered(small, "small", "monitor", due)


@pytest.mark.parametrize(
    ("error", "n_calls"),
    [
        (OperationalError("SELECT", {}, Exception("database is locked")), RETRIES + 1),
        (ConnectionError("reset"), RETRIES + 1),
        (ValueError("wrong"), 1),
        (PermissionError("read-only"), 1),
    ],
)
def test_only_what_may_pass_by_itself_is_tried_again(
    impatient: None, error: Exception, n_calls: int
) -> None:
    calls: list[int] = []

    @step("demo", retries=True)
    def fail() -> None:
        calls.append(1)
        raise error

    with pytest.raises(type(error)):
        fail()
    assert len(calls) == n_calls


def test_the_log_says_what_is_tried_again_and_why(impatient: None) -> None:
    said: list[str] = []
    sink = logger.add(said.append, format="{level} {message}")

    @step("demo", retries=True)
    def find_rows(secret: str) -> None:
        raise ConnectionError("the door is shut")

    with pytest.raises(ConnectionError):
        find_rows("a row")
    logger.remove(sink)
    assert len(said) == RETRIES
    assert "find_rows failed and is tried again in 0.0 s (retry 1)" in said[0]
    assert said[0].startswith("WARNING")
    assert said[0].endswith("ConnectionError: the door is shut\n")
    assert "a row" not in "".join(said)


def test_a_step_without_retries_is_called_once() -> None:
    calls: list[int] = []

    @step("demo")
    def fail() -> None:
        calls.append(1)
        raise ConnectionError

    with pytest.raises(ConnectionError):
        fail()
    assert len(calls) == 1


def test_training_that_fails_each_time_stops_until_new_rows_come(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = small_settings(tmp_path / "home")
    drop(settings, small_rows(0, 300), "a.csv")

    def fail(*_arguments: object, **_options: object) -> None:
        raise StorageError("no memory")

    monkeypatch.setattr("tasks.training.train_challenger", fail)
    for _ in range(3):
        with pytest.raises(StorageError):
            tick(settings, 300)
    assert "0 new labelled rows of 50 needed" in tick(settings, 300)["reason"]
    assert [row.state for row in rows_of(settings, models)] == ["abandoned"] * 3
    monkeypatch.undo()
    drop(settings, small_rows(300, 60), "b.csv")
    assert tick(settings, 360)["challenger"]["outcome"] == "promoted"
