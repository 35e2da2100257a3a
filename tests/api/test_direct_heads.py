"""Requests whose head was seen before: they skip the parser and mean the same."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pydantic import SecretStr

from api.direct import DirectProtocol, Head
from settings import Settings
from storage.database import open_engine, upgrade
from storage.tokens import create_token, revoke_token
from tests.api.servers import Api, running, wait_until
from tests.factories_bundles import promote, promote_version, write_classifier

OLD, YOUNG = b'{"features":[50,null]}', b'{"features":[-5,null]}'
WRONG = b'{"features":["x",null]}'


def request(body: bytes = OLD, *headers: str) -> bytes:
    lines = ["POST /predict HTTP/1.1", "host: x", f"content-length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


class Line:
    """One connection that stays open."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._came = b""

    def send(self, content: bytes) -> None:
        self._connection.sendall(content)

    def answer(self) -> tuple[int, dict[str, Any], bytes]:
        """The next answer: its status, document and head."""
        while b"\r\n\r\n" not in self._came:
            self._read()
        head, _, rest = self._came.partition(b"\r\n\r\n")
        lines = head.lower().split(b"\r\n")
        length = next(int(line[15:]) for line in lines if line.startswith(b"content-length:"))
        while len(rest) < length:
            rest += self._read()
        self._came = rest[length:]
        return int(head.split()[1]), json.loads(rest[:length]), head

    def ask(self, content: bytes) -> tuple[int, dict[str, Any], bytes]:
        self.send(content)
        return self.answer()

    def is_ended(self) -> bool:
        """Whether the server has closed it."""
        return self._connection.recv(1) == b""

    def _read(self) -> bytes:
        received = self._connection.recv(65536)
        assert received, "the server closed the connection"
        self._came += received
        return received


@contextmanager
def line_to(api: Api) -> Iterator[Line]:
    with socket.create_connection(("127.0.0.1", api.port), timeout=10) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield Line(connection)


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[Head]:
    """The heads of the requests that skipped the parser."""
    heads: list[Head] = []
    real = DirectProtocol._take

    def take(self: DirectProtocol, head: Head, whole: bytes, end: int) -> None:
        heads.append(head)
        real(self, head, whole, end)

    monkeypatch.setattr(DirectProtocol, "_take", take)
    return heads


def test_a_head_is_parsed_once_and_answered_alike(api: Api, taken: list[Head]) -> None:
    with line_to(api) as line:
        first, second, third = (line.ask(request(body)) for body in (OLD, OLD, YOUNG))
    assert [head.length for head in taken] == [len(OLD), len(YOUNG)]
    assert [answer[0] for answer in (first, second, third)] == [200] * 3
    assert [answer[1]["prediction"] for answer in (first, second, third)] == [1, 1, 0]
    assert first[1].keys() == second[1].keys()
    ids = [answer[1]["prediction_id"] for answer in (first, second, third)]
    api.drained()
    for name in ids:
        assert api.client.get(f"/predictions/{name}").json()["prediction_id"] == name
    names = [
        sorted(part.split(b":")[0].lower() for part in head.split(b"\r\n")[1:])
        for head in (first[2], second[2])
    ]
    assert names[0] == names[1]
    assert b"x-request-id" in names[1]


def test_the_same_head_serves_other_connections(api: Api, taken: list[Head]) -> None:
    for _ in range(3):
        with line_to(api) as line:
            assert line.ask(request())[0] == 200
    assert len(taken) == 2


@pytest.mark.parametrize(
    "headers",
    [
        ["x-request-id: mine"],
        ["expect: 100-continue"],
        ["connection: close"],
        ["content-encoding: gzip"],
        ["content-length: 22"],
        ["upgrade: websocket"],
    ],
)
def test_what_says_more_than_a_plain_head_is_always_parsed(
    api: Api, taken: list[Head], headers: list[str]
) -> None:
    for _ in range(3):
        with line_to(api) as line:
            line.send(request(OLD, *headers))
            line._read()
    assert taken == []


def test_two_requests_at_once_are_not_taken_for_one_head(api: Api, taken: list[Head]) -> None:
    short, long = request(OLD), request(b'{"features":[ -5 , null ]}')
    with line_to(api) as line:
        line.send(short + long)
        assert [line.answer()[1]["prediction"] for _ in range(2)] == [1, 0]
        assert [line.ask(one)[1]["prediction"] for one in (short, long, short)] == [1, 0, 1]


def test_requests_sent_ahead_are_answered_in_their_order(api: Api) -> None:
    with line_to(api) as line:
        line.ask(request())
        line.send(request(OLD) + request(WRONG) + request(YOUNG) + request(OLD)[:30])
        found = [line.answer() for _ in range(3)]
        assert [(status, body.get("prediction")) for status, body, _ in found] == [
            (200, 1),
            (422, None),
            (200, 0),
        ]
        line.send(request(OLD)[30:] + b"GET /health/live HTTP/1.1\r\nhost: x\r\n\r\n")
        assert line.answer()[1]["prediction"] == 1
        assert line.answer()[1] == {"status": "ok"}


@given(
    cuts=st.lists(st.integers(1, 500), max_size=12),
    bodies=st.lists(
        st.sampled_from([OLD, YOUNG, WRONG, b"{", b'{"features":[7]}']), min_size=1, max_size=6
    ),
)
@hypothesis_settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_pieces_do_not_matter(api: Api, cuts: list[int], bodies: list[bytes]) -> None:
    expected = {OLD: (200, 1), YOUNG: (200, 0), WRONG: (422, None), b"{": (400, None)}
    content = b"".join(map(request, bodies))
    with line_to(api) as line:
        for cut in cuts:
            line.send(content[:cut])
            content = content[cut:]
        line.send(content)
        found = [line.answer() for _ in bodies]
    assert [(status, body.get("prediction")) for status, body, _ in found] == [
        expected.get(body, (422, None)) for body in bodies
    ]


def test_a_body_that_stalls_is_left_to_the_parser(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.direct.PATIENCE_SECONDS", 0.05)
    monkeypatch.setattr("api.exchange.BODY_SECONDS", 0.2)
    with line_to(api) as line:
        line.ask(request())
        line.send(request()[:-3])
        status, body, _ = line.answer()
        assert (status, body["code"]) == (408, "body_timeout")
        assert line.is_ended()
    wait_until(lambda: api.runtime.limits._n_under_way == 0)


def test_a_body_that_comes_late_is_answered(
    api: Api, monkeypatch: pytest.MonkeyPatch, taken: list[Head]
) -> None:
    monkeypatch.setattr("api.direct.PATIENCE_SECONDS", 0.02)
    parsed: list[bytes] = []
    real = DirectProtocol._parse

    def parse(self: DirectProtocol, data: bytes) -> None:
        parsed.append(data)
        real(self, data)

    monkeypatch.setattr(DirectProtocol, "_parse", parse)
    with line_to(api) as line:
        line.ask(request())
        line.send(request()[:-3])
        wait_until(lambda: request()[:-3] in parsed)
        assert line.ask(request()[-3:])[1]["prediction"] == 1
        assert line.ask(request(YOUNG))[1]["prediction"] == 0
    assert [head.length for head in taken] == [len(YOUNG)]


def test_a_revoked_token_closes_the_short_way_too(settings: Settings) -> None:
    promote(settings.store, write_classifier(settings.store), 1)
    upgrade(settings.sql_url)
    engine = open_engine(settings.sql_url)
    token, secret = create_token(engine, ["predict"])
    bearer = f"authorization: Bearer {secret}"
    with running(settings) as api, line_to(api) as line:
        assert [line.ask(request(OLD, bearer))[0] for _ in range(3)] == [200] * 3
        revoke_token(engine, token.token_id)
        wait_until(lambda: line.ask(request(OLD, bearer))[0] == 401, seconds=5)
        for _ in range(3):
            assert line.ask(request(OLD, bearer))[1]["code"] == "unauthenticated"
    engine.dispose()


def test_a_token_without_the_scope_is_never_known(settings: Settings, taken: list[Head]) -> None:
    promote(settings.store, write_classifier(settings.store), 1)
    upgrade(settings.sql_url)
    engine = open_engine(settings.sql_url)
    _, secret = create_token(engine, ["read"])
    engine.dispose()
    with running(settings) as api, line_to(api) as line:
        for _ in range(3):
            status, body, _ = line.ask(request(OLD, f"authorization: Bearer {secret}"))
            assert (status, body["code"]) == (403, "missing_scope")
    assert taken == []


def test_the_rate_of_a_token_counts_both_ways_together(settings: Settings) -> None:
    promote(settings.store, write_classifier(settings.store), 1)
    limited = settings.model_copy(
        update={"api_token": SecretStr("secret"), "api_rate_limit": 0.001}
    )
    with running(limited) as api, line_to(api) as line:
        api.runtime.limits._depth = 4.0
        bearer = "authorization: Bearer secret"
        found = [line.ask(request(OLD, bearer))[0] for _ in range(8)]
    assert found == [200] * 4 + [429] * 4


def test_a_full_journal_is_told_on_the_short_way(open_settings: Settings) -> None:
    promote_version(open_settings.store, 1)
    with running(open_settings) as api, line_to(api) as line:
        body = b'{"features":[1]}'
        assert line.ask(request(body))[0] == 200
        api.drained()
        api.runtime.recorder.journal._limit = 0
        status, document, head = line.ask(request(body))
        assert (status, document["code"]) == (503, "journal_full")
        assert b"retry-after" in head.lower()
        api.runtime.recorder.journal._limit = 10**9
        assert line.ask(request(body))[0] == 200


def test_only_so_many_heads_are_kept(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.direct.HEADS_KEPT", 5)
    seen: list[int] = []
    real = DirectProtocol._learn

    def learn(self: DirectProtocol, data: bytes, end: int) -> None:
        real(self, data, end)
        seen.append(len(self.heads))

    monkeypatch.setattr(DirectProtocol, "_learn", learn)
    with line_to(api) as line:
        for number in range(20):
            assert line.ask(request(OLD, f"user-agent: {number}"))[0] == 200
    assert max(seen) == 5


def test_an_idle_connection_is_closed_after_known_heads_too(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[DirectProtocol] = []
    real = DirectProtocol.connection_made

    def connection_made(self: DirectProtocol, transport: Any) -> None:
        self.timeout_keep_alive = 0.3
        made.append(self)
        real(self, transport)

    monkeypatch.setattr(DirectProtocol, "connection_made", connection_made)
    monkeypatch.setattr("api.direct.PATIENCE_SECONDS", 0.05)
    with line_to(api) as line:
        for _ in range(3):
            line.ask(request())
        assert line.is_ended()
