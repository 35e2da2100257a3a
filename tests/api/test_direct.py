"""The short way of `/predict`: whatever arrives, in whatever pieces, is answered as by the long."""

from __future__ import annotations

import json
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from settings import Settings
from tests.api.servers import Api, running, wait_until
from tests.factories_bundles import promote, promote_version, write_classifier

BODY = b'{"features":[10,"1"]}'


def request(
    body: bytes = BODY, *headers: str, version: str = "1.1", path: str = "/predict"
) -> bytes:
    lines = [f"POST {path} HTTP/{version}", "host: x", f"content-length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def talk(port: int, *parts: bytes, pause: float = 0.0) -> bytes:
    """What comes back until the server closes; ``parts`` are sent one after the other."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        for part in parts:
            connection.sendall(part)
            threading.Event().wait(pause)
        answer = b""
        while received := connection.recv(65536):
            answer += received
        return answer


def bodies(answer: bytes) -> list[dict[str, Any]]:
    return [
        json.loads(part.partition(b"\r\n\r\n")[2])
        for part in answer.split(b"HTTP/1.1 ")[1:]
        if not part.startswith(b"100 ")
    ]


CLOSE = "connection: close"


@pytest.mark.parametrize(
    "parts",
    [
        pytest.param([request(BODY, CLOSE)], id="whole"),
        pytest.param([request(BODY, CLOSE)[:-4], request(BODY, CLOSE)[-4:]], id="late end"),
        pytest.param([request(BODY, CLOSE)[:20], request(BODY, CLOSE)[20:]], id="late headers"),
        pytest.param([bytes([b]) for b in request(BODY, CLOSE)], id="byte by byte"),
        pytest.param([request(BODY, version="1.0")], id="HTTP/1.0"),
        pytest.param([request(BODY, CLOSE, "expect: 100-continue")], id="asks before sending"),
        pytest.param(
            [
                b"POST /predict HTTP/1.1\r\nhost: x\r\nconnection: close\r\n"
                b"transfer-encoding: chunked\r\n\r\n15\r\n" + BODY + b"\r\n0\r\n\r\n"
            ],
            id="chunked",
        ),
        pytest.param([request(BODY, CLOSE, path="/problems/demo/predict")], id="by name"),
        pytest.param([request(BODY, CLOSE, path="/predict?x=1")], id="with a query"),
    ],
)
def test_a_request_is_answered_however_it_arrives(api: Api, parts: list[bytes]) -> None:
    answer = talk(api.port, *parts, pause=0.01 if len(parts) < 5 else 0.0)
    (body,) = bodies(answer)
    assert body["prediction"] == 1
    head = answer.lower()
    assert b"content-type: application/json" in head
    assert b"x-request-id: " in head
    assert b"connection: close" in head


def test_pipelined_requests_are_answered_in_their_order(api: Api) -> None:
    asked = [b'{"features":[%d,null]}' % age for age in (50, -50, 50, -50)]
    answer = talk(api.port, b"".join(map(request, asked[:3])) + request(asked[3], CLOSE))
    assert [body["prediction"] for body in bodies(answer)] == [1, 0, 1, 0]


def test_a_connection_goes_on_after_a_refusal(api: Api) -> None:
    answer = talk(api.port, request(b"{"), request(b'{"features":["x",1]}'), request(BODY, CLOSE))
    found = bodies(answer)
    assert [body.get("code") for body in found] == ["invalid_json", "invalid_value", None]
    assert found[2]["prediction"] == 1


def test_a_refusal_is_a_problem_document_with_the_clients_request_id(api: Api) -> None:
    answer = talk(api.port, request(b'{"features":{"agee":1}}', CLOSE, "x-request-id: trace-7"))
    assert answer.startswith(b"HTTP/1.1 422")
    assert b"application/problem+json" in answer
    (body,) = bodies(answer)
    assert (body["code"], body["request_id"]) == ("unknown_feature", "trace-7")


def test_what_is_wrong_with_one_does_not_touch_those_beside_it(api: Api) -> None:
    asked = [
        {"features": [50, None]},
        {"features": ["text", None]},
        {"features": [1e38, None]},
        {"features": [3.5e38, None]},
        {"features": {"nobody": 1}},
        {"features": [-50, "never seen"]},
    ]
    with ThreadPoolExecutor(12) as clients:
        for _ in range(20):
            answers = list(clients.map(lambda body: api.client.post("/predict", json=body), asked))
            assert [a.status_code for a in answers] == [200, 422, 200, 422, 422, 200]
            assert [a.json().get("prediction") for a in answers] == [1, None, 1, None, None, 0]


def test_those_who_wait_together_share_one_graph_call(open_settings: Settings) -> None:
    promote(open_settings.store, write_classifier(open_settings.store), 1)
    sizes: list[int] = []

    class Counting:
        def __init__(self, session: Any) -> None:
            self._session = session

        def run(self, names: list[str], inputs: dict[str, Any]) -> Any:
            sizes.append(len(inputs["input"]))
            return self._session.run(names, inputs)

    with running(open_settings) as api:
        model = api.runtime.slots["demo"].model
        assert model is not None
        object.__setattr__(model, "session", Counting(model.session))
        # Twelve connections whose bytes are all there before the server looks at any.
        with ThreadPoolExecutor(12) as clients:
            list(clients.map(lambda _: talk(api.port, request(BODY, CLOSE)), range(240)))
        assert sum(sizes) == 240
        assert len(sizes) < 240
        wait_until(lambda: api.runtime.limits._n_under_way == 0)


def test_a_graph_that_fails_on_one_row_answers_the_others(open_settings: Settings) -> None:
    promote(open_settings.store, write_classifier(open_settings.store), 1)

    class Failing:
        def __init__(self, session: Any) -> None:
            self._session = session

        def run(self, names: list[str], inputs: dict[str, Any]) -> Any:
            if (inputs["input"][:, 0] == 13).any():
                raise RuntimeError("this row")
            return self._session.run(names, inputs)

    with running(open_settings) as api:
        model = api.runtime.slots["demo"].model
        assert model is not None
        object.__setattr__(model, "session", Failing(model.session))

        def ask(age: int) -> int:
            return api.predict(features=[age, None]).status_code

        with ThreadPoolExecutor(8) as clients:
            assert list(clients.map(ask, [1, 13, 2] * 30)) == [200, 500, 200] * 30


def test_metrics_count_the_short_way_too(api: Api) -> None:
    for _ in range(5):
        api.predict(features=[1, None])
    api.predict(features=["x", None])
    text = api.client.get("/metrics").text
    assert 'perennial_requests_total{route="/predict",status="200"} 5.0' in text
    assert 'perennial_requests_total{route="/predict",status="422"} 1.0' in text
    assert 'perennial_request_seconds_count{route="/predict"} 6.0' in text


def test_a_client_that_hangs_up_harms_nobody(api: Api) -> None:
    for _ in range(20):
        with socket.create_connection(("127.0.0.1", api.port)) as connection:
            connection.sendall(request())
    assert api.predict(features=[1, None]).status_code == 200
    wait_until(lambda: api.runtime.limits._n_under_way == 0)


def test_a_model_with_names_that_no_structure_can_have_is_served_all_the_same(
    open_settings: Settings,
) -> None:
    from storage.manifest import FeatureSpec

    promote(
        open_settings.store,
        write_classifier(
            open_settings.store,
            features=(FeatureSpec('a"b\\', "numeric"), FeatureSpec("plan", "categorical", ("x",))),
        ),
        1,
    )
    with running(open_settings) as api:
        assert api.predict(features={'a"b\\': 50, "plan": "x"}).json()["prediction"] == 1


def test_a_refused_burst_leaves_no_request_under_way(open_settings: Settings) -> None:
    promote_version(open_settings.store, 1)
    settings = open_settings.model_copy(update={"journal_limit_mb": 0})
    with running(settings) as api:
        with ThreadPoolExecutor(8) as clients:
            answers = list(clients.map(lambda _: api.predict(features=[1]), range(40)))
        assert {answer.json()["code"] for answer in answers} == {"journal_full"}
        wait_until(lambda: api.runtime.limits._n_under_way == 0)
