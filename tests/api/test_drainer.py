"""SQL away, locked or refusing: nothing acknowledged is lost or doubled."""

from __future__ import annotations

import asyncio
import socket
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydantic import SecretStr
from sqlalchemy import Engine, select, text

from api.drainer import Drainer
from api.recorder import Recorder
from settings import Settings
from storage.database import open_engine, reading, writing
from storage.drain import Mover
from storage.journal import Journal
from storage.records import FeedbackItem, FeedbackRecord, PredictionRecord, Record
from storage.segments import read_frames
from storage.tables import feedback, predictions
from tests.api.servers import running, wait_until
from tests.factories_bundles import promote, promote_version, write_classifier

NOW = datetime(2026, 3, 1, tzinfo=UTC)
MEGABYTE = 1024 * 1024


def stored(engine: Engine) -> list[str]:
    with reading(engine) as connection:
        query = select(predictions.c.prediction_id).order_by(predictions.c.id)
        return list(connection.execute(query).scalars())


def run(engine: Engine, statement: str) -> None:
    with writing(engine) as connection:
        connection.execute(text(statement))


def a_record(name: str, moment: datetime = NOW) -> PredictionRecord:
    return PredictionRecord("demo", name, "1", None, NOW, [1], 1.0, None, b"{}", moment)


def journalled(recorder: Recorder, *records: Record) -> None:
    async def add_all() -> None:
        entries = [recorder.add(record) for record in records]
        for record, entry in zip(records, entries, strict=True):
            await recorder.durable(record, entry)

    asyncio.run(add_all())


def test_while_sql_fails_predictions_and_feedback_go_on(sql_settings: Settings) -> None:
    promote(sql_settings.store, write_classifier(sql_settings.store), 1)
    engine = open_engine(sql_settings.sql_url)
    with running(sql_settings) as api:
        wait_until(lambda: api.health()["status"] == "ok")
        api.predict(features=[1, None], prediction_id="before")
        api.drained()
        run(engine, "ALTER TABLE predictions RENAME TO away")
        names = [f"p{number}" for number in range(30)]
        for name in names:
            assert api.predict(features=[1, None], prediction_id=name).status_code == 200
        again = api.predict(features=[2, None], prediction_id="p3")
        assert again.json()["prediction_id"] == "p3"
        label = {"prediction_id": "p3", "actual": 1}
        assert api.client.post("/feedback", json=label).json()["accepted"] == 1
        assert api.client.post("/feedback", json=label).json()["duplicates"] == 1
        unknown = api.client.post("/feedback", json={"prediction_id": "before", "actual": 1})
        assert (unknown.status_code, unknown.json()["code"]) == (503, "storage_unavailable")
        assert int(unknown.headers["retry-after"]) > 0
        health = wait_until(lambda: (h := api.health())["status"] == "degraded" and h)
        assert health["journal_backlog"] == 31
        assert "31 rows wait in the journal" in health["reasons"][0]
        assert "perennial_journal_backlog_rows 31.0" in api.client.get("/metrics").text
        run(engine, "ALTER TABLE away RENAME TO predictions")
        api.drained()
        wait_until(lambda: api.health()["status"] == "ok")
    assert stored(engine) == ["before", *names]
    engine.dispose()


def test_while_sqlite_is_locked_predictions_go_on(
    open_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.health.STALE_BACKLOG_SECONDS", 0.2)
    promote_version(open_settings.store, 1)
    with running(open_settings) as api:
        wait_until(lambda: api.health()["status"] == "ok")
        engine = open_engine(open_settings.sql_url)
        with writing(engine):
            for number in range(10):
                answer = api.predict(features=[1], prediction_id=f"p{number}")
                assert answer.status_code == 200
                assert answer.elapsed.total_seconds() < 5
            wait_until(lambda: api.health()["status"] == "degraded")
            assert api.health()["journal_backlog"] == 10
        api.drained()
        assert stored(engine) == [f"p{number}" for number in range(10)]
        engine.dispose()


def test_a_cold_start_without_sql_answers_and_the_next_start_stores(
    open_settings: Settings,
) -> None:
    promote_version(open_settings.store, 1)
    away = SecretStr("postgresql://nobody@127.0.0.1:9/none")
    with running(open_settings.model_copy(update={"database_url": away})) as api:
        for number in range(5):
            answer = api.predict(features=[1], prediction_id=f"p{number}")
            assert answer.status_code == 200
        wait_until(lambda: api.health()["status"] == "degraded")
        assert api.client.get("/predictions/p1").status_code == 200
    with running(open_settings) as api:
        again = api.predict(features=[2], prediction_id="p1")
        assert again.json()["timestamp"] < answer.json()["timestamp"]
        label = {"prediction_id": "p2", "actual": 2.5}
        assert api.client.post("/feedback", json=label).status_code == 200
        api.drained()
        assert stored(api.runtime.engine) == [f"p{number}" for number in range(5)]


@pytest.mark.slow
def test_while_sql_hangs_predictions_go_on(open_settings: Settings) -> None:
    promote_version(open_settings.store, 1)
    with socket.create_server(("127.0.0.1", 0)) as black_hole:
        port = black_hole.getsockname()[1]
        hanging = SecretStr(f"postgresql://nobody@127.0.0.1:{port}/none?connect_timeout=2")
        with running(open_settings.model_copy(update={"database_url": hanging})) as api:
            for number in range(20):
                answer = api.predict(features=[1], prediction_id=f"p{number}")
                assert answer.status_code == 200
                assert answer.elapsed.total_seconds() < 10
            assert answer.elapsed.total_seconds() < 2
            assert api.health()["status"] == "degraded"


def test_one_impossible_record_is_set_aside_and_the_rest_stored(
    engine: Engine, tmp_path: Path
) -> None:
    journal = Journal(tmp_path, MEGABYTE)
    recorder = Recorder(journal)
    without_zone = a_record("bad", NOW.replace(tzinfo=None))
    journalled(recorder, a_record("a"), without_zone, a_record("b"))
    drainer = Drainer(recorder, Mover(engine, lambda: None, tmp_path / ".set-aside.log"))
    drainer.start()
    wait_until(lambda: recorder.n_backlog == 0)
    drainer.stop()
    journal.close()
    assert stored(engine) == ["a", "b"]
    assert drainer.n_set_aside == 1
    ((_, payload),) = read_frames(tmp_path / ".set-aside.log", 0)
    assert b"bad" in payload


def test_a_failure_of_ours_sets_nothing_aside(engine: Engine, tmp_path: Path) -> None:
    run(engine, "ALTER TABLE feedback RENAME TO away")
    journal = Journal(tmp_path, MEGABYTE)
    recorder = Recorder(journal)
    label = FeedbackRecord("demo", [FeedbackItem("a", 1.0, NOW)], None, NOW)
    journalled(recorder, a_record("a"), label)
    drainer = Drainer(recorder, Mover(engine, lambda: None, tmp_path / ".set-aside.log"))
    drainer.start()
    wait_until(lambda: drainer.failure is not None)
    assert stored(engine) == []
    assert recorder.n_backlog == 2
    run(engine, "ALTER TABLE away RENAME TO feedback")
    wait_until(lambda: recorder.n_backlog == 0)
    drainer.stop()
    journal.close()
    assert stored(engine) == ["a"]
    with reading(engine) as connection:
        assert connection.execute(select(feedback.c.actual)).scalar_one() == 1.0
    assert drainer.n_set_aside == 0
