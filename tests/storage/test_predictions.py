from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from sqlalchemy import Engine, func, select

from storage.database import reading
from storage.outcomes import Outcome
from storage.predictions import (
    find_answer,
    find_feedback,
    find_known,
    find_prediction,
    store_records,
)
from storage.records import (
    FeedbackItem,
    FeedbackRecord,
    PredictionRecord,
    decode_record,
    encode_record,
)
from storage.tables import feedback, predictions

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def a_prediction(prediction_id: str = "p1", **changes: Any) -> PredictionRecord:
    fields: dict[str, Any] = {
        "problem": "demo",
        "prediction_id": prediction_id,
        "model_version": "3",
        "key": "customer-1",
        "event_time": NOW,
        "features": [1, 2.5, "été", True, None],
        "prediction": 1,
        "probabilities": [0.25, 0.75],
        "answer": b'{"prediction":1,"risk_level":"high"}',
        "created_at": NOW,
    }
    return PredictionRecord(**{**fields, **changes})


def a_label(prediction_id: str = "p1", actual: Any = 1) -> FeedbackRecord:
    return FeedbackRecord("demo", [FeedbackItem(prediction_id, actual, NOW)], "t1", NOW)


def count(engine: Engine, table: Any) -> int:
    with reading(engine) as connection:
        return int(connection.execute(select(func.count()).select_from(table)).scalar_one())


def test_records_survive_the_journals_bytes() -> None:
    for record in (a_prediction(), a_prediction(probabilities=None, key=None), a_label()):
        assert decode_record(encode_record(record)) == record


def test_a_stored_prediction_reads_back_as_it_was(engine: Engine) -> None:
    store_records(engine, [a_prediction()])
    found = find_prediction(engine, "demo", "p1")
    assert found == {
        "problem": "demo",
        "prediction_id": "p1",
        "model_version": "3",
        "key": "customer-1",
        "event_time": NOW,
        "features": [1, 2.5, "été", True, None],
        "prediction": 1,
        "probabilities": [0.25, 0.75],
        "answer": {"prediction": 1, "risk_level": "high"},
        "created_at": NOW,
    }


def test_a_regression_stores_no_probabilities(engine: Engine) -> None:
    store_records(engine, [a_prediction(prediction=2.5, probabilities=None)])
    missing = select(func.count()).where(predictions.c.probabilities.is_(None))
    with reading(engine) as connection:
        row = connection.execute(
            select(predictions.c.probabilities, predictions.c.prediction)
        ).one()
        assert tuple(row) == (None, 2.5)
        assert connection.execute(missing).scalar_one() == 1


def test_storing_twice_doubles_nothing_and_the_first_stays(engine: Engine) -> None:
    store_records(engine, [a_prediction(), a_label(actual=1)])
    store_records(engine, [a_prediction(model_version="4"), a_label(actual=0)])
    assert (count(engine, predictions), count(engine, feedback)) == (1, 1)
    stored, label = find_prediction(engine, "demo", "p1"), find_feedback(engine, "demo", "p1")
    assert stored is not None
    assert label is not None
    assert (stored["model_version"], label["actual"]) == ("3", 1)


def test_the_same_id_twice_in_one_batch_is_one_row(engine: Engine) -> None:
    store_records(engine, [a_prediction(), a_prediction(), a_label(), a_label()])
    assert (count(engine, predictions), count(engine, feedback)) == (1, 1)


def test_ids_belong_to_their_problem(engine: Engine) -> None:
    store_records(engine, [a_prediction(), a_prediction(problem="other")])
    assert count(engine, predictions) == 2
    assert find_prediction(engine, "third", "p1") is None


def test_feedback_is_numbered_in_the_order_it_came(engine: Engine) -> None:
    names = [f"p{number}" for number in range(20)]
    store_records(engine, [a_label(name, actual=name) for name in reversed(names)])
    with reading(engine) as connection:
        found = connection.execute(select(feedback.c.actual).order_by(feedback.c.id)).scalars()
        assert list(found) == list(reversed(names))


def test_times_are_kept_in_utc(engine: Engine) -> None:
    elsewhere = NOW.astimezone(timezone(timedelta(hours=5)))
    store_records(engine, [a_prediction(event_time=elsewhere)])
    found = find_prediction(engine, "demo", "p1")
    assert found is not None
    assert found["event_time"] == NOW


def test_known_ids_and_their_labels_are_found_in_any_number(engine: Engine) -> None:
    names = [f"p{number}" for number in range(1200)]
    store_records(engine, [a_prediction(name) for name in names] + [a_label("p7", "x")])
    known, labels = find_known(engine, "demo", [*names, "unknown"])
    assert known == dict.fromkeys(names, Outcome("3", 1, [0.25, 0.75]))
    assert labels == {"p7": "x"}


def test_the_body_that_was_sent_is_found(engine: Engine) -> None:
    store_records(engine, [a_prediction()])
    assert find_answer(engine, "demo", "p1") is not None
    assert find_answer(engine, "demo", "p2") is None
    assert find_feedback(engine, "demo", "p1") is None
