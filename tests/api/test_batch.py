"""`/predict/batch`: what it answers, whatever form the rows come in."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from settings import Settings
from storage.predictions import find_prediction
from tests.api.batches import ARROW, FORMATS, decode_table, encode_batch, send, send_json
from tests.api.servers import Api, running, wait_until
from tests.factories_bundles import promote, promote_version, write_classifier, write_colours

ROWS = {"age": [10.0, 0.0, -50.0, None], "plan": ["1", "basic", "basic", None]}


@pytest.mark.parametrize("form", FORMATS)
def test_a_batch_answers_each_row_as_predict_would(api: Api, form: str) -> None:
    answer = send(api, *encode_batch(form, ROWS))
    assert answer.status_code == 200, answer.text
    batch = answer.json()
    for index in range(4):
        single = api.predict(features={"age": ROWS["age"][index], "plan": ROWS["plan"][index]})
        expected = single.json()
        assert batch["predictions"][index] == expected["prediction"]
        assert batch["probabilities"][index] == pytest.approx(expected["probability"], abs=1e-6)
        assert batch["risk_levels"][index] == expected["risk_level"]
        assert batch["expected_costs"][index] == pytest.approx(expected["expected_cost"], abs=1e-6)
    assert batch["model_version"] == "1"
    assert len(set(batch["prediction_ids"])) == 4
    assert (batch["n_errors"], batch["errors"], batch["stored"]) == (0, [], [])


@pytest.mark.parametrize("form", FORMATS)
def test_a_batch_is_answered_as_arrow_to_who_accepts_it(api: Api, form: str) -> None:
    content, kind = encode_batch(form, ROWS)
    headers = {"Content-Type": kind, "Accept": ARROW}
    answer = api.client.post("/predict/batch", content=content, headers=headers)
    assert answer.headers["content-type"] == ARROW
    table = decode_table(answer.content)
    assert table.column("prediction").to_pylist() == [1, 1, 0, 0]
    assert table.column("probability").to_pylist()[0] == pytest.approx(0.880797, abs=1e-5)
    assert table.column("error").null_count == 4
    assert table.schema.metadata[b"model_version"] == b"1"


@pytest.mark.parametrize("form", FORMATS)
def test_every_row_of_a_batch_reaches_sql_as_predict_would_have_sent_it(
    sql_settings: Settings, form: str
) -> None:
    store = sql_settings.store
    promote(store, write_classifier(store), 1)
    with running(sql_settings) as api:
        batch = send(api, *encode_batch(form, ROWS)).json()
        waiting = api.client.get(f"/predictions/{batch['prediction_ids'][0]}").json()
        api.drained()
        found = [find_prediction(api.runtime.engine, "demo", i) for i in batch["prediction_ids"]]
    assert waiting["features"] == {"age": 10, "plan": "1"}
    assert [row and row["features"] for row in found] == [
        [10, "1"],
        [0, "basic"],
        [-50, "basic"],
        [None, None],
    ]
    for index, row in enumerate(found):
        assert row is not None
        assert row["answer"] == {
            "prediction_id": batch["prediction_ids"][index],
            "prediction": batch["predictions"][index],
            "probability": batch["probabilities"][index],
            "risk_level": batch["risk_levels"][index],
            "expected_cost": batch["expected_costs"][index],
            "model_version": "1",
            "timestamp": batch["timestamp"],
        }
        assert row["probabilities"][1] == batch["probabilities"][index]


@pytest.mark.parametrize("form", FORMATS)
def test_columns_may_come_in_any_order_and_be_left_out(api: Api, form: str) -> None:
    turned = {"plan": ["1", "basic"], "age": [10.0, 0.0]}
    assert send(api, *encode_batch(form, turned)).json()["predictions"] == [1, 1]
    answer = send(api, *encode_batch(form, {"plan": ["1", "basic"]})).json()
    assert answer["probabilities"] == [pytest.approx(0.731059, abs=1e-5), pytest.approx(0.5)]


def test_keys_times_and_ids_are_kept_row_by_row(api: Api) -> None:
    document = {
        "rows": [{"age": 1}, {"age": 2}, {"age": 3}],
        "keys": ["k1", 7, None],
        "event_times": ["2026-01-31T12:00:00+02:00", None, "2026-02-01"],
        "prediction_ids": ["one", None, "three"],
    }
    batch = send_json(api, document).json()
    assert batch["prediction_ids"][0::2] == ["one", "three"]
    found = [api.client.get(f"/predictions/{i}").json() for i in batch["prediction_ids"]]
    assert [row["key"] for row in found] == ["k1", "7", None]
    assert found[0]["event_time"].startswith("2026-01-31T10:00")
    assert found[1]["event_time"] == batch["timestamp"].replace("Z", "+00:00") or (
        found[1]["event_time"] == batch["timestamp"]
    )
    assert found[2]["event_time"].startswith("2026-02-01T00:00")


@pytest.mark.parametrize("form", ["csv", "arrow"])
def test_keys_times_and_ids_are_columns_of_csv_and_arrow(api: Api, form: str) -> None:
    columns: dict[str, list[Any]] = {
        "prediction_id": ["one", None],
        "age": [1.0, 2.0],
        "key": ["k1", None],
        "event_time": ["2026-01-31T12:00:00Z", None],
    }
    batch = send(api, *encode_batch(form, columns)).json()
    assert batch["prediction_ids"][0] == "one"
    found = api.client.get("/predictions/one").json()
    assert (found["key"], found["features"]) == ("k1", {"age": 1, "plan": None})
    assert found["event_time"].startswith("2026-01-31T12:00")


def test_an_id_that_was_answered_before_gets_the_stored_answer(sql_settings: Settings) -> None:
    store = sql_settings.store
    promote(store, write_classifier(store), 1)
    with running(sql_settings) as api:
        first = send_json(api, {"rows": [{"age": 10}], "prediction_ids": ["order-1"]}).json()
        batch = {"rows": [{"age": -99}, {"age": 5}], "prediction_ids": ["order-1", "order-2"]}
        again = send_json(api, batch).json()
        single = api.predict(features=[-99, None], prediction_id="order-2").json()
        api.drained()
        promote(store, write_classifier(store, version="2"), 2, version="2")
        api.serves("2")
        later = send_json(api, batch).json()
    for repeated in (again, later):
        assert repeated["probabilities"][0] == first["probabilities"][0]
        assert repeated["stored"][0] == {
            "index": 0,
            "model_version": "1",
            "timestamp": first["timestamp"],
        }
    assert single["probability"] == again["probabilities"][1] == later["probabilities"][1]
    assert (again["model_version"], later["model_version"]) == ("1", "2")
    assert [row["index"] for row in later["stored"]] == [0, 1]


def test_the_same_ids_at_the_same_moment_are_answered_once(api: Api) -> None:
    names = [f"once-{index}" for index in range(50)]

    def ask(age: int) -> list[float]:
        if age % 3 == 0:
            singles = [api.predict(features=[age, None], prediction_id=n) for n in names[:5]]
            return [single.json()["probability"] for single in singles]
        rows = [{"age": age}] * len(names)
        batch = send_json(api, {"rows": rows, "prediction_ids": names}).json()
        return list(batch["probabilities"][:5])

    with ThreadPoolExecutor(6) as clients:
        answers = list(clients.map(ask, range(24)))
    for place in range(5):
        assert len({answer[place] for answer in answers}) == 1


def test_feedback_finds_the_predictions_of_a_batch_before_and_after_draining(api: Api) -> None:
    batch = send_json(api, {"rows": [{"age": 1}, {"age": 2}]}).json()
    for name in batch["prediction_ids"]:
        answer = api.client.post("/feedback", json={"prediction_id": name, "actual": 1})
        assert answer.status_code == 200
        api.drained()


def test_a_multiclass_batch_has_a_column_for_each_class(open_settings: Settings) -> None:
    store = open_settings.store
    promote(store, write_colours(store), 1)
    with running(open_settings) as api:
        batch = send_json(api, {"columns": ["x"], "data": [[-5], [0], [5]]}).json()
        arrow = send(api, *encode_batch("arrow", {"x": [-5.0]})).json()
        one = api.client.get(f"/predictions/{batch['prediction_ids'][2]}").json()
    assert batch["predictions"] == ["red", "green", "blue"]
    assert set(batch["probabilities"]) == {"red", "green", "blue"}
    assert sum(column[1] for column in batch["probabilities"].values()) == pytest.approx(1)
    assert arrow["predictions"] == ["red"]
    assert one["answer"]["probabilities"]["blue"] == batch["probabilities"]["blue"][2]


def test_a_regression_batch_has_values_alone(open_settings: Settings) -> None:
    promote_version(open_settings.store, 7)
    with running(open_settings) as api:
        batch = send_json(api, {"rows": [{"x": 1}, {}]}).json()
        text = api.client.get("/metrics").text
    assert batch["predictions"] == [7.0, 7.0]
    assert "probabilities" not in batch
    assert 'perennial_predictions_total{prediction="value",problem="demo"} 2.0' in text


def test_a_batch_before_the_first_model_is_an_honest_503(open_settings: Settings) -> None:
    with running(open_settings) as api:
        refusal = send_json(api, {"rows": [{"x": 1}]})
    assert (refusal.status_code, refusal.json()["code"]) == (503, "no_model")


def test_a_full_journal_keeps_nothing_of_a_batch(open_settings: Settings) -> None:
    settings = open_settings.model_copy(update={"journal_limit_mb": 0})
    promote_version(settings.store, 1)
    with running(settings) as api:
        refusal = send_json(api, {"rows": [{"x": 1}], "prediction_ids": ["one"]})
        assert (refusal.status_code, refusal.json()["code"]) == (503, "journal_full")
        wait_until(lambda: api.health()["status"] == "ok")
        assert api.client.get("/predictions/one").status_code == 404


def test_a_large_batch_is_cut_into_pieces_that_nobody_sees(api: Api) -> None:
    n_rows = 9_000
    texts = ["a],[b", "}, {", 'q"x', "basic"]
    columns = {
        "age": [float(i % 50) for i in range(n_rows)],
        "plan": [texts[i % 4] for i in range(n_rows)],
    }
    for form in FORMATS:
        batch = send(api, *encode_batch(form, columns)).json()
        # Code 0 for the known category, -1 for the others: sigmoid of age / 10 + code.
        assert batch["probabilities"][3] == pytest.approx(0.574443, abs=1e-5)
        assert batch["probabilities"][8998] == pytest.approx(0.978119, abs=1e-5)
        assert len(set(batch["prediction_ids"])) == n_rows
    api.drained()
    assert api.client.get(f"/predictions/{batch['prediction_ids'][2]}").json()["features"] == {
        "age": 2,
        "plan": 'q"x',
    }
