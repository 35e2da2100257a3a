from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from sqlalchemy import func, select

from settings import Settings
from storage.database import reading
from storage.predictions import find_feedback
from storage.tables import feedback
from tests.api.servers import Api, running
from tests.factories_bundles import promote, promote_version, write_classifier


@pytest.fixture
def sql_api(sql_settings: Settings) -> Iterator[Api]:
    """A server of the binary classifier on each kind of database."""
    promote(sql_settings.store, write_classifier(sql_settings.store), 1)
    with running(sql_settings) as server:
        yield server


def predicted(api: Api, *names: str) -> None:
    for name in names:
        assert api.predict(features=[1, None], prediction_id=name).status_code == 200


def tell(api: Api, name: str, actual: Any, **more: Any) -> httpx.Response:
    return api.client.post("/feedback", json={"prediction_id": name, "actual": actual, **more})


def tell_all(api: Api, *labels: tuple[str, Any]) -> httpx.Response:
    items = [{"prediction_id": name, "actual": actual} for name, actual in labels]
    return api.client.post("/feedback", json={"items": items})


@pytest.mark.parametrize("is_drained", [False, True])
def test_feedback_is_taken_once_and_a_different_label_is_a_conflict(
    sql_api: Api, is_drained: bool
) -> None:
    predicted(sql_api, "a")
    if is_drained:
        sql_api.drained()
    first = tell(sql_api, "a", 1, observed_at="2026-01-31T12:00:00Z")
    if is_drained:
        sql_api.drained()
    again, other = tell(sql_api, "a", "1"), tell(sql_api, "a", 0)
    assert first.json() == {"accepted": 1, "duplicates": 0, "errors": []}
    assert again.json() == {"accepted": 0, "duplicates": 1, "errors": []}
    assert (other.status_code, other.json()["code"]) == (409, "conflicting_label")
    sql_api.drained()
    stored = find_feedback(sql_api.runtime.engine, "demo", "a")
    assert stored is not None
    assert stored["actual"] == 1
    assert stored["observed_at"].isoformat() == "2026-01-31T12:00:00+00:00"


def test_feedback_for_an_unknown_prediction_is_not_found(sql_api: Api) -> None:
    refusal = tell(sql_api, "nobody", 1)
    assert (refusal.status_code, refusal.json()["code"]) == (404, "unknown_prediction")


@pytest.mark.parametrize("actual", [2, "yes", True, 0.5, [1], None, {}, "1\0", 10**30])
def test_a_label_that_is_no_class_is_refused(api: Api, actual: Any) -> None:
    predicted(api, "a")
    assert tell(api, "a", actual).status_code == 422


@pytest.mark.parametrize("actual", [1, 1.0, "1", " 1 "])
def test_every_spelling_of_a_class_is_that_class(api: Api, actual: Any) -> None:
    predicted(api, "a")
    assert tell(api, "a", actual).status_code == 200
    assert tell(api, "a", 1).json()["duplicates"] == 1


@pytest.mark.parametrize(("actual", "status"), [(3, 200), (2.5, 200), ("3", 422), (True, 422)])
def test_a_regression_takes_numbers(open_settings: Settings, actual: Any, status: int) -> None:
    promote_version(open_settings.store, 1)
    with running(open_settings) as api:
        api.predict(features=[1], prediction_id="a")
        assert tell(api, "a", actual).status_code == status


def test_of_several_labels_the_known_ones_are_counted_apart(api: Api) -> None:
    predicted(api, "a", "b", "c")
    tell(api, "a", 1)
    answer = tell_all(api, ("a", 1), ("b", 0), ("b", 0), ("c", 1))
    assert answer.json() == {"accepted": 2, "duplicates": 2, "errors": []}


def test_one_wrong_label_of_several_keeps_all_of_them_out(sql_api: Api) -> None:
    predicted(sql_api, "a", "b", "c")
    tell(sql_api, "a", 1)
    answer = tell_all(sql_api, ("b", 1), ("a", 0), ("nobody", 1), ("c", 5), ("c", 0), ("c", 1))
    assert answer.status_code == 409
    assert answer.json()["errors"] == [
        {"index": 1, "code": "conflicting_label"},
        {"index": 2, "code": "unknown_prediction"},
        {"index": 3, "code": "invalid_actual"},
        {"index": 5, "code": "conflicting_label"},
    ]
    sql_api.drained()
    with reading(sql_api.runtime.engine) as connection:
        assert connection.execute(select(func.count()).select_from(feedback)).scalar_one() == 1
    assert tell(sql_api, "b", 0).status_code == 200


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"items": []},
        {"items": [{}]},
        {"prediction_id": "a"},
        {"prediction_id": "a", "actual": 1, "items": []},
        {"prediction_id": "a", "actual": 1, "extra": 2},
        {"prediction_id": "a b", "actual": 1},
        {"prediction_id": "a", "actual": 1, "observed_at": "yesterday"},
        [],
    ],
)
def test_other_documents_are_refused(api: Api, body: Any) -> None:
    predicted(api, "a")
    assert api.client.post("/feedback", json=body).status_code == 422


def test_a_prediction_shows_its_inputs_and_feedback_wherever_they_are(sql_api: Api) -> None:
    sql_api.predict(features={"age": 5, "plan": "basic"}, prediction_id="a", key="k")
    before = sql_api.client.get("/predictions/a").json()
    tell(sql_api, "a", 1)
    sql_api.drained()
    after = sql_api.client.get("/predictions/a").json()
    assert before["features"] == after["features"] == {"age": 5, "plan": "basic"}
    assert before["feedback"] is None
    assert after["feedback"]["actual"] == 1
    assert before["answer"] == after["answer"]
    assert set(before) == set(after)
    assert (before["key"], before["event_time"]) == (after["key"], after["event_time"])
