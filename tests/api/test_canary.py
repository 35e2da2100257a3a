"""A canary answers its share of requests, stable per key, and never harms the champion."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from onnx import helper

from settings import Settings
from storage.bundles import write_bundle
from storage.candidates import position
from storage.manifest import FeatureSpec, Golden
from storage.pointers import Acknowledgement, acknowledgements
from tests.api.servers import Api, running, wait_until
from tests.factories_bundles import (
    array,
    constant_graph,
    graph_bytes,
    make_manifest,
    promote,
    promote_version,
    stand_beside,
    write_version,
)

SHARE = 0.4
KEYS = [f"customer-{number}" for number in range(60)]


@pytest.fixture
def canaried(open_settings: Settings) -> Iterator[Api]:
    """Version 1 answers, version 2 as canary for `SHARE` of the requests."""
    promote_version(open_settings.store, 1)
    stand_beside(open_settings.store, 2, 2, share=SHARE)
    with running(open_settings) as server:
        yield server


def expected(name: str) -> str:
    """The version that answers a key, an id or a body."""
    return "2" if position("demo", "2", name) < SHARE else "1"


def answered(api: Api, **body: Any) -> str:
    """The version that answered; its answer is its own number."""
    answer = api.predict(features=[1], **body)
    assert answer.status_code == 200, answer.text
    assert str(int(answer.json()["prediction"])) == answer.json()["model_version"]
    return str(answer.json()["model_version"])


def complaints(api: Api) -> list[str]:
    """What is wrong with models; there is no database in these tests."""
    return [reason for reason in api.health()["reasons"] if "refused" in reason]


def said(api: Api, generation: int) -> Acknowledgement:
    """The server's word on a generation."""

    def word() -> Acknowledgement | None:
        words = acknowledgements(api.store, "demo")
        return next((word for word in words if word.generation == generation), None)

    found: Acknowledgement = wait_until(word)
    return found


def test_a_key_gets_the_same_model_each_time_on_every_server(canaried: Api) -> None:
    first = {key: answered(canaried, key=key) for key in KEYS}
    assert first == {key: expected(key) for key in KEYS}
    assert set(first.values()) == {"1", "2"}
    assert {key: answered(canaried, key=key) for key in KEYS} == first
    with running(canaried.settings) as another:
        assert {key: answered(another, key=key) for key in KEYS} == first


def test_without_a_key_the_id_decides_and_else_the_body(canaried: Api) -> None:
    for number in range(20):
        name = f"id-{number}"
        assert answered(canaried, prediction_id=name) == expected(name)
        body = b'{"features": [%d]}' % number
        answer = canaried.client.post("/predict", content=body).json()
        assert answer["model_version"] == expected(body.decode())
    # A repeated id gets the stored answer, though its key is another model's now.
    name = next(f"id-{n}" for n in range(20) if expected(f"id-{n}") == "2")
    key = next(key for key in KEYS if expected(key) == "1")
    assert answered(canaried, prediction_id=name, key=key) == "2"


def test_the_server_tells_of_its_canary_and_whose_answer_it_gave(canaried: Api) -> None:
    info = canaried.client.get("/model/info").json()
    assert (info["version"], info["state"]) == ("1", "champion")
    candidate = info["candidate"]
    assert (candidate["version"], candidate["state"]) == ("2", "canary")
    assert (candidate["share"], candidate["refused"]) == (SHARE, None)
    beside = {"version": "2", "state": "canary", "share": SHARE, "refused": None}
    assert canaried.health()["candidate"] == beside
    assert not complaints(canaried)
    assert said(canaried, 2).serving_generation == 2
    key = next(key for key in KEYS if expected(key) == "2")
    answer = canaried.predict(features=[1], key=key).json()
    stored = canaried.client.get(f"/predictions/{answer['prediction_id']}").json()
    assert stored["model_version"] == "2"


def test_a_shadow_answers_nobody(canaried: Api) -> None:
    stand_beside(canaried.store, 3, 3, role="shadow", share=1.0)
    assert said(canaried, 3).refused_code is None
    assert {answered(canaried, key=key) for key in KEYS} == {"1"}
    assert canaried.client.get("/model/info").json()["candidate"]["state"] == "shadow"


def test_the_canary_ends_by_promotion_or_by_being_taken_away(canaried: Api) -> None:
    promote(canaried.store, write_version(canaried.store, 1), 3)
    said(canaried, 3)
    assert {answered(canaried, key=key) for key in KEYS} == {"1"}
    assert canaried.client.get("/model/info").json()["candidate"] is None
    stand_beside(canaried.store, 4, 2, share=SHARE)
    said(canaried, 4)
    promote(canaried.store, write_version(canaried.store, 2), 5, "2")
    said(canaried, 5)
    assert {answered(canaried, key=key) for key in KEYS} == {"2"}


def test_a_broken_candidate_is_refused_and_the_champion_answers_all(canaried: Api) -> None:
    stand_beside(canaried.store, 3, 3, bundle="0" * 64)
    word = said(canaried, 3)
    assert (word.refused_code, word.serving_generation) == ("missing", 3)
    assert {answered(canaried, key=key) for key in KEYS} == {"1"}
    why = "the candidate was refused (missing): the last good one answers"
    assert complaints(canaried) == [why]
    assert canaried.health()["candidate"]["refused"] == "missing"
    stand_beside(canaried.store, 4, 4)
    assert said(canaried, 4).refused_code is None
    assert not complaints(canaried)


def moody() -> bytes:
    """A graph that answers 3, and nothing finite for inputs above 100."""
    nodes = [
        helper.make_node("Sub", ["limit", "input"], ["left"]),
        helper.make_node("Sqrt", ["left"], ["root"]),
        helper.make_node("Mul", ["root", "zero"], ["nothing"]),
        helper.make_node("Add", ["nothing", "value"], ["output"]),
    ]
    constants = [array("limit", [100.0]), array("zero", [0.0]), array("value", [3.0])]
    return graph_bytes(nodes, constants, 1, 1)


def test_where_a_canary_fails_the_champion_answers_and_the_canary_is_set_aside(
    canaried: Api,
) -> None:
    model, store = moody(), canaried.store
    golden = Golden(((0.0,),), ((3.0,),), 1e-6)
    bundle = write_bundle(store, make_manifest(model, golden, version="3"), {"model.onnx": model})
    stand_beside(store, 3, 3, bundle, share=1.0)
    assert said(canaried, 3).refused_code is None
    assert answered(canaried, key="a") == "3"
    answer = canaried.predict(features=[200], key="a")
    assert (answer.status_code, answer.json()["model_version"]) == (200, "1")
    wait_until(lambda: said(canaried, 3).refused_code == "answer")
    assert {answered(canaried, key=key) for key in KEYS} == {"1"}
    assert "model_output" in (said(canaried, 3).refused_reason or "")


def test_a_canary_that_refuses_what_the_champion_takes_is_set_aside(canaried: Api) -> None:
    model, store = constant_graph(3.0), canaried.store
    golden = Golden(((0.0,),), ((3.0,),), 1e-6)
    features = (FeatureSpec("renamed", "numeric"),)
    manifest = make_manifest(model, golden, version="3", features=features)
    stand_beside(store, 3, 3, write_bundle(store, manifest, {"model.onnx": model}), share=1.0)
    said(canaried, 3)
    answer = canaried.client.post("/predict", json={"features": {"x": 1}})
    assert (answer.status_code, answer.json()["model_version"]) == (200, "1")
    wait_until(lambda: said(canaried, 3).refused_code == "answer")


def test_what_any_model_refuses_is_no_fault_of_the_canary(canaried: Api) -> None:
    stand_beside(canaried.store, 3, 3, share=1.0)
    said(canaried, 3)
    for body in ({"features": {"y": 1}}, {"features": ["text"]}, {"features": [1, 2]}):
        assert canaried.client.post("/predict", json=body).status_code == 422
    assert answered(canaried, key="a") == "3"
    assert said(canaried, 3).refused_code is None


def test_a_batch_is_one_versions_to_the_end(canaried: Api) -> None:
    body = {"columns": ["x"], "data": [[number] for number in range(60)]}
    answer = canaried.client.post("/predict/batch", json=body)
    assert answer.status_code == 200, answer.text
    assert {answer.json()["model_version"]} == {"1"}


def test_the_shortest_way_and_the_ordinary_one_agree(canaried: Api) -> None:
    # Of one connection the first request is parsed, those after it are not.
    with httpx.Client(base_url=f"http://127.0.0.1:{canaried.port}") as client:
        for key in KEYS:
            answer = client.post("/predict", json={"features": [1], "key": key})
            assert answer.json()["model_version"] == expected(key)
