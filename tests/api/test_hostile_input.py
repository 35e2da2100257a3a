"""Input that turns careless applications into 500s: all of it is refused, quickly."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import settings as given_settings
from hypothesis import strategies as st

from settings import Settings
from tests.api.servers import Api, running
from tests.factories_bundles import promote, write_classifier

BODIES = {
    "nothing": b"",
    "NaN": b'{"features":[NaN,null]}',
    "text NaN": b'{"features":["NaN",null]}',
    "Infinity": b'{"features":[Infinity,null]}',
    "1e400": b'{"features":[1e400,null]}',
    "beyond float32": b'{"features":[1e300,null]}',
    "lone surrogate": b'{"features":[null,"\\ud800"]}',
    "lone surrogate before text": b'{"features":[null,"\\ud800abcdef"]}',
    "surrogate in a name": b'{"features":{"\\udfff aaaaaa":1}}',
    "surrogate in a key": b'{"features":[null,null],"key":"\\ud800abcdef"}',
    "broken UTF-8": b'{"features":[null,"\xff\xfe"]}',
    "above int64": b'{"features":[9223372036854775808,null]}',
    "huge integer": b'{"features":[null,' + b"9" * 5000 + b"]}",
    "huge key": b'{"features":[null,null],"key":' + b"9" * 5000 + b"}",
    "key above int64": b'{"features":[null,null],"key":9223372036854775808}',
    "NUL in a category": b'{"features":[null,"a\\u0000b"]}',
    "NUL in a key": b'{"features":[null,null],"key":"a\\u0000b"}',
    "NUL in an id": b'{"features":[null,null],"prediction_id":"a\\u0000b"}',
    "long text": b'{"features":[null,"' + b"x" * 1001 + b'"]}',
    "long key": b'{"features":[null,null],"key":"' + b"x" * 257 + b'"}',
    "long id": b'{"features":[null,null],"prediction_id":"' + b"x" * 65 + b'"}',
    "id with a newline": b'{"features":[null,null],"prediction_id":"a\\n"}',
    "deep arrays": b'{"features":' + b"[" * 10_000 + b"]" * 10_000 + b"}",
    "deep objects": b'{"features":' + b'{"a":' * 10_000 + b"1" + b"}" * 10_001,
    "deep rest": b'{"features":[null,null],"more":' + b"[" * 10_000 + b"]" * 10_000 + b"}",
    "many values": b'{"features":[' + b"1," * 100_000 + b"1]}",
    "many names": b'{"features":{' + b",".join(b'"%d":1' % n for n in range(50_000)) + b"}}",
    "long name": b'{"features":{"' + b"x" * 900_000 + b'":1}}',
    "another document": b"[1,2]",
    "two documents": b'{"features":[1,null]}{"features":[1,null]}',
    "a time before all times": b'{"features":[null,null],"event_time":"0001-01-01T00:00+23:59"}',
    "a time beyond all frames": b'{"features":[null,null],"event_time":"9999-12-31T00:00Z"}',
    "a time that is none": b'{"features":[null,null],"event_time":"tomorrow"}',
    "unknown part": b'{"features":[null,null],"secret-name":1}',
}


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """One server for all of it: nothing that is sent here may harm what comes after."""
    home = tmp_path_factory.mktemp("home")
    settings = Settings(_env_file=None, home=home, api_insecure=True)  # type: ignore[call-arg]
    promote(settings.store, write_classifier(settings.store), generation=1)
    with running(settings) as server:
        yield server


@pytest.mark.parametrize("name", BODIES)
def test_hostile_bodies_are_refused_quickly_and_never_repeated(api: Api, name: str) -> None:
    began = time.process_time()
    refusal = api.client.post("/predict", content=BODIES[name])
    assert refusal.status_code in {400, 422}
    assert time.process_time() - began < 1
    assert refusal.headers["content-type"] == "application/problem+json"
    document = refusal.json()
    assert document["request_id"] == refusal.headers["x-request-id"]
    assert document["code"]
    assert len(refusal.content) < 600
    for sent in ("secret-name", "xxxx", "9999", "tomorrow", "NaN"):
        assert sent not in refusal.text
    assert api.predict(features=[1, None]).status_code == 200


def test_an_unknown_feature_is_answered_with_the_nearest_known_one(api: Api) -> None:
    refusal = api.predict(features={"agee": "secret-value"})
    assert refusal.json()["code"] == "unknown_feature"
    assert "'age'" in refusal.json()["detail"]
    assert "agee" not in refusal.text
    assert "secret-value" not in refusal.text


def test_a_wrong_number_of_values_is_named(api: Api) -> None:
    assert "found 3 values; expected 2" in api.predict(features=[1, 2, 3]).json()["detail"]


@given(body=st.binary(max_size=300) | st.text(max_size=100).map(lambda text: text.encode("utf-8")))
@given_settings(max_examples=100, deadline=None)
def test_whatever_is_sent_the_answer_is_never_a_server_error(api: Api, body: bytes) -> None:
    assert api.client.post("/predict", content=body).status_code in {400, 422}
    assert api.client.post("/feedback", content=body).status_code in {400, 422}


@pytest.mark.parametrize("route", ["/predict", "/feedback"])
def test_a_body_above_the_limit_is_refused_by_its_length(api: Api, route: str) -> None:
    refusal = api.client.post(route, content=b" " * (1024 * 1024 + 1))
    assert (refusal.status_code, refusal.json()["code"]) == (413, "body_too_long")


def test_a_body_at_the_limit_is_read(api: Api) -> None:
    body = b'{"features":[1,null]}'.ljust(1024 * 1024)
    assert api.client.post("/predict", content=body).status_code == 200


def test_a_body_without_length_is_refused_while_it_is_read(api: Api) -> None:
    n_sent = 0

    def endless() -> Iterator[bytes]:
        nonlocal n_sent
        for _ in range(64):
            n_sent += 1
            yield b"x" * 65536

    refusal = api.client.post("/predict", content=endless())
    assert refusal.status_code == 413
    assert api.predict(features=[1, None]).status_code == 200


def test_a_body_in_pieces_is_put_together(api: Api) -> None:
    pieces = iter([b'{"features"', b":[1,", b"null]}"])
    assert api.client.post("/predict", content=pieces).status_code == 200


def test_a_client_that_hangs_up_in_the_middle_harms_nobody(api: Api) -> None:
    with socket.create_connection(("127.0.0.1", api.port)) as client:
        client.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\n{")
    assert api.predict(features=[1, None]).status_code == 200


@pytest.mark.parametrize("length", [b"-1", b"1e3", b"99999999999999999999999999"])
def test_an_impossible_length_is_refused(api: Api, length: bytes) -> None:
    with socket.create_connection(("127.0.0.1", api.port), timeout=5) as client:
        client.sendall(
            b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: " + length + b"\r\n\r\n"
        )
        assert client.recv(100).split(b" ")[1] in {b"400", b"413"}


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nowhere", 404),
        ("GET", "/predict", 405),
        ("DELETE", "/health", 405),
        ("GET", "/predictions/a b", 422),
        ("GET", "/predictions/%00", 422),
        ("GET", "/predictions/" + "x" * 65, 422),
        ("GET", "/predict/", 404),
    ],
)
def test_refusals_of_the_framework_read_like_ours(
    api: Api, method: str, path: str, status: int
) -> None:
    refusal = api.client.request(method, path)
    assert refusal.status_code == status
    assert refusal.headers["content-type"] == "application/problem+json"
    assert {"code", "detail", "request_id"} <= set(refusal.json())


def test_a_request_id_is_kept_if_it_is_a_plain_one(api: Api) -> None:
    kept = api.client.get("/health", headers={"X-Request-ID": "trace-1"})
    replaced = api.client.get("/health", headers={"X-Request-ID": "a b"})
    assert kept.headers["x-request-id"] == "trace-1"
    assert len(replaced.headers["x-request-id"]) == 32


def test_a_failure_inside_is_answered_without_its_message(
    api: Api, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("secret-value")

    monkeypatch.setattr("api.gathering.build_answer", fail)
    refusal = api.predict(features=[1, None])
    assert (refusal.status_code, refusal.json()["code"]) == (500, "internal")
    assert "secret-value" not in refusal.text + capfd.readouterr().err
