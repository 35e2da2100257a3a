"""Records moved into SQL by a process beside the server."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import Engine, select

from api.drainer import Drainer
from api.mover import MoveError, MoverBeside
from api.recorder import Recorder
from storage.database import open_engine, reading
from storage.drain_messages import Portion, Work
from storage.journal import Journal
from storage.records import FeedbackItem, FeedbackRecord, PredictionRecord, encode_record
from storage.segments import frame
from storage.tables import feedback, predictions
from tests.api.servers import wait_until
from tests.api.test_drainer import journalled

NOW = datetime(2026, 3, 1, tzinfo=UTC)
MEGABYTE = 1024 * 1024


def a_record(name: str) -> PredictionRecord:
    return PredictionRecord("demo", name, "1", None, NOW, [1], 1.0, None, b"{}", NOW)


@pytest.fixture
def mover(tmp_path: Path, database_url: str) -> Iterator[MoverBeside]:
    work = Work(database_url, str(tmp_path / "lock"), str(tmp_path / "aside"))
    beside = MoverBeside(work)
    yield beside
    beside.close()


def written(path: Path, *records: PredictionRecord | FeedbackRecord) -> Portion:
    path.write_bytes(b"".join(frame(encode_record(record)) for record in records))
    return Portion(str(path), 0, path.stat().st_size)


def stored(url: str) -> list[str]:
    engine: Engine = open_engine(url)
    with reading(engine) as connection:
        query = select(predictions.c.prediction_id).order_by(predictions.c.id)
        names = list(connection.execute(query).scalars())
    engine.dispose()
    return names


def test_it_makes_the_tables_and_moves_each_record_once(
    mover: MoverBeside, tmp_path: Path, database_url: str
) -> None:
    label = FeedbackRecord("demo", [FeedbackItem("a", 1.0, NOW)], None, NOW)
    portion = written(tmp_path / "segment", a_record("a"), a_record("b"), label)
    for _ in range(2):
        moved = mover.move(portion)
        assert moved.end == portion.end
        assert moved.predictions == {"demo": ["a", "b"]}
        assert moved.labels == {"demo": ["a"]}
    assert stored(database_url) == ["a", "b"]
    engine = open_engine(database_url)
    with reading(engine) as connection:
        assert connection.execute(select(feedback.c.actual)).scalars().all() == [1.0]
    engine.dispose()


def test_killed_it_is_begun_again(mover: MoverBeside, tmp_path: Path, database_url: str) -> None:
    portion = written(tmp_path / "segment", a_record("a"))
    mover.move(Portion("", 0, 0))
    assert mover._process is not None
    mover._process.kill()
    with pytest.raises(MoveError, match="MoverDied"):
        mover.move(portion)
    assert mover.move(portion).predictions == {"demo": ["a"]}
    assert stored(database_url) == ["a"]


def test_it_names_what_sql_raised_and_moves_nothing(tmp_path: Path) -> None:
    work = Work(f"sqlite:///{tmp_path}", str(tmp_path / "lock"), str(tmp_path / "aside"))
    mover = MoverBeside(work)
    with pytest.raises(MoveError) as failure:
        mover.move(written(tmp_path / "segment", a_record("a")))
    assert failure.value.kind == "OperationalError"
    mover.close()


def test_the_databases_address_is_no_argument_and_signals_do_not_end_it(
    mover: MoverBeside, tmp_path: Path, database_url: str
) -> None:
    mover.move(Portion("", 0, 0))
    process = mover._process
    assert process is not None
    arguments = process.args
    assert isinstance(arguments, list)
    assert not any("://" in argument for argument in arguments)
    for number in (signal.SIGINT, signal.SIGTERM):
        os.kill(process.pid, number)
    assert mover.move(written(tmp_path / "segment", a_record("a"))).end > 0
    mover.close()
    assert process.returncode == 0


def test_a_drainer_goes_on_after_its_mover_died(
    mover: MoverBeside, tmp_path: Path, database_url: str
) -> None:
    root = tmp_path / "journal"
    root.mkdir()
    journal = Journal(root, MEGABYTE)
    recorder = Recorder(journal)
    drainer = Drainer(recorder, mover)
    drainer.start()
    journalled(recorder, a_record("a"))
    wait_until(lambda: recorder.n_backlog == 0)
    assert mover._process is not None
    mover._process.kill()
    mover._process.wait()
    journalled(recorder, a_record("b"))
    wait_until(lambda: recorder.n_backlog == 0)
    assert drainer.failure is None or wait_until(lambda: drainer.failure is None)
    drainer.stop()
    journal.close()
    assert stored(database_url) == ["a", "b"]
