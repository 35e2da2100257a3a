from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from settings import Settings
from storage.predictions import find_prediction
from tests.api.servers import Api, running, wait_until
from tests.factories_bundles import promote, promote_version, write_classifier, write_colours


def test_a_binary_answer_says_class_probability_risk_and_cost(api: Api) -> None:
    answer = api.predict(features={"age": 10, "plan": "1"}).json()
    # 10 / 10 + 1 = 2 against 0: the logistic function of 2.
    assert answer["probability"] == pytest.approx(0.880797, abs=1e-5)
    assert answer["prediction"] == 1
    assert answer["risk_level"] == "high"
    assert answer["expected_cost"] == pytest.approx(1 - 0.880797, abs=1e-5)
    assert answer["model_version"] == "1"
    assert re.fullmatch("[0-9a-f]{32}", answer["prediction_id"])
    age = datetime.now(UTC) - datetime.fromisoformat(answer["timestamp"])
    assert timedelta(0) <= age < timedelta(minutes=1)


@pytest.mark.parametrize(
    ("age", "prediction", "risk", "cost"),
    [
        (0, 1, "medium", 0.5),  # exactly the threshold decides for the positive class
        (-0.001, 0, "medium", 0.500025),
        (-50, 0, "low", 0.066929),  # 10 × p: cheaper than calling it positive
    ],
)
def test_the_threshold_decides_and_the_cost_is_that_of_the_cheaper_decision(
    api: Api, age: float, prediction: int, risk: str, cost: float
) -> None:
    answer = api.predict(features=[age, "basic"]).json()
    assert (answer["prediction"], answer["risk_level"]) == (prediction, risk)
    assert answer["expected_cost"] == pytest.approx(cost, abs=1e-5)


def test_names_and_lists_mean_the_same(api: Api) -> None:
    by_name = api.predict(features={"plan": True, "age": 3}).json()
    by_place = api.predict(features=[3, "true"]).json()
    assert by_name["probability"] == by_place["probability"]


@pytest.mark.parametrize(
    "features", [{}, {"age": None}, {"age": None, "plan": "new"}, [None, None]]
)
def test_missing_values_and_unseen_categories_are_answered(api: Api, features: Any) -> None:
    answer = api.predict(features=features)
    # Code -1 for the category and 0 for the number: the logistic function of -1.
    assert answer.json()["probability"] == pytest.approx(0.268941, abs=1e-5)


@pytest.mark.parametrize(("x", "colour"), [(-5, "red"), (0, "green"), (5, "blue")])
def test_a_multiclass_answer_gives_each_class_its_probability(
    open_settings: Settings, x: float, colour: str
) -> None:
    store = open_settings.store
    promote(store, write_colours(store), 1)
    with running(open_settings) as api:
        answer = api.predict(features={"x": x}).json()
    assert answer["prediction"] == colour
    assert set(answer["probabilities"]) == {"red", "green", "blue"}
    assert sum(answer["probabilities"].values()) == pytest.approx(1)
    assert "risk_level" not in answer


def test_a_regression_answers_its_value(open_settings: Settings) -> None:
    promote_version(open_settings.store, 7)
    with running(open_settings) as api:
        answer = api.predict(features={"x": 1}).json()
    assert answer["prediction"] == 7.0
    assert "probability" not in answer


def test_text_classes_stay_text(open_settings: Settings) -> None:
    store = open_settings.store
    promote(store, write_classifier(store, classes=("no", "yes"), class_type="text"), 1)
    with running(open_settings) as api:
        assert api.predict(features=[50, None]).json()["prediction"] == "yes"


def test_every_prediction_reaches_sql_as_it_was_sent(sql_settings: Settings) -> None:
    store = sql_settings.store
    promote(store, write_classifier(store), 1)
    with running(sql_settings) as api:
        answer = api.predict(
            features={"plan": 1, "age": 30}, key=17, event_time="2026-01-31T12:00:00+02:00"
        ).json()
        api.drained()
        found = find_prediction(api.runtime.engine, "demo", answer["prediction_id"])
    assert found is not None
    assert found["features"] == [30, 1]
    assert found["key"] == "17"
    assert found["event_time"] == datetime(2026, 1, 31, 10, tzinfo=UTC)
    assert found["answer"] == answer
    assert found["probabilities"][1] == answer["probability"]


def test_a_repeated_id_gets_the_stored_answer_before_and_after_draining(
    sql_settings: Settings,
) -> None:
    store = sql_settings.store
    promote(store, write_classifier(store), 1)
    with running(sql_settings) as api:
        first = api.predict(features=[1, None], prediction_id="order-1")
        again = api.predict(features=[99, None], prediction_id="order-1")
        api.drained()
        promote(store, write_classifier(store, version="2"), 2, version="2")
        api.serves("2")
        later = api.predict(features=[99, None], prediction_id="order-1")
    assert first.status_code == 200
    assert first.text == again.text == later.text
    assert first.json()["prediction_id"] == "order-1"


def test_the_same_id_at_the_same_moment_is_answered_once(api: Api) -> None:
    def ask(age: int) -> str:
        return api.predict(features=[age, None], prediction_id="once").text

    with ThreadPoolExecutor(8) as clients:
        answers = set(clients.map(ask, range(40)))
    assert len(answers) == 1


def test_each_problem_answers_at_its_own_routes(open_settings: Settings) -> None:
    store = open_settings.store
    promote_version(store, 3, problem="first")
    promote_version(store, 4, problem="second")
    with running(open_settings, "first", "second") as api:
        answers = [
            api.client.post(f"{prefix}/predict", json={"features": [1]}).json()["prediction"]
            for prefix in ("", "/problems/first", "/problems/second")
        ]
        unknown = api.client.post("/problems/third/predict", json={"features": [1]})
    assert answers == [3.0, 3.0, 4.0]
    assert unknown.status_code == 404


def test_a_full_journal_is_an_honest_503(open_settings: Settings) -> None:
    settings = open_settings.model_copy(update={"journal_limit_mb": 0})
    promote_version(settings.store, 1)
    with running(settings) as api:
        refusal = api.predict(features=[1], prediction_id="one")
        assert refusal.status_code == 503
        assert refusal.json()["code"] == "journal_full"
        assert int(refusal.headers["retry-after"]) > 0
        wait_until(lambda: api.health()["status"] == "ok")
        assert api.client.get("/predictions/one").status_code == 404
