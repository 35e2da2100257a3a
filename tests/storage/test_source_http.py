"""One GET: what it asks, what it takes, and all that it refuses."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from typing import Any

import httpcore
import pytest

from learning.cursors import Position
from learning.sources import HttpSource
from storage.source_connections import Deadline, allowed_addresses
from storage.source_errors import SourceDownError, SourceError
from storage.source_http import read_rows
from storage.tabular import TableError
from tests.fakes.source_server import SourceServer, endless, send, serving

ROWS = [{"id": 1, "x": 2.5, "plan": "pro"}, {"id": 2, "x": None, "plan": "007"}]


@pytest.fixture
def server() -> Iterator[SourceServer]:
    with serving() as started:
        yield started


def source(server: SourceServer, **fields: Any) -> HttpSource:
    values = {"kind": "http", "url": server.url, "hosts": ["127.0.0.1"], "cursor": "id"}
    return HttpSource.model_validate({**values, **fields})


@pytest.mark.parametrize(
    ("fields", "body", "kind"),
    [
        ({}, ROWS, "application/json"),
        ({"rows": "data.items"}, {"data": {"items": ROWS}}, "application/json"),
        (
            {"format": "jsonl"},
            b'{"id": 1, "x": 2.5, "plan": "pro"}\n{"id": 2, "x": null, "plan": "007"}\n',
            "application/x-ndjson",
        ),
        ({"format": "csv"}, b"id,x,plan\n1,2.5,pro\n2,,007\n", "text/csv"),
    ],
)
def test_each_format_gives_the_same_rows(
    server: SourceServer, fields: Any, body: Any, kind: str
) -> None:
    server.answers = [send(body, kind=kind)]
    assert read_rows(source(server, **fields), None, None) == ROWS


def test_the_cursor_and_the_token_are_sent_and_the_url_keeps_its_parameters(
    server: SourceServer,
) -> None:
    server.answers = [send([])]
    asked = source(server, url=f"{server.url}?limit=5&since=0", cursor_parameter="since")
    assert read_rows(asked, "secret", Position(7)) == []
    assert server.asked == [{"limit": ["5"], "since": ["7"]}]
    assert server.headers[0]["Authorization"] == "Bearer secret"
    assert server.headers[0]["Accept-Encoding"] == "identity"


@pytest.mark.parametrize(
    ("answer", "code", "said"),
    [
        (send(b"", 302, Location="http://127.0.0.1:9/"), "redirect", "found a redirect (302)"),
        (send(b"<html>log in</html>", kind="text/html; charset=utf-8"), "html", "a web page"),
        (send(b"{}", Content_Encoding="gzip"), "encoding", "encoding 'gzip'"),
        (send([], 404), "status", "answers 404"),
        (send([], 401), "status", "401; check token_env"),
        (send(b"[" + b" " * 1024 * 1024 + b"]"), "too_large", "longer than 1 MB"),
        (endless, "too_large", "longer than 1 MB"),
    ],
)
def test_what_the_rules_refuse_is_named_and_not_tried_again(
    server: SourceServer, answer: Any, code: str, said: str
) -> None:
    server.answers = [answer]
    with pytest.raises(SourceError) as found:
        read_rows(source(server, max_mb=1), None, None)
    assert not isinstance(found.value, SourceDownError)
    assert (found.value.code, said in str(found.value)) == (code, True)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"<!DOCTYPE html><html>", "html"),
        (b'{"rows": []}', "no_list"),
        (b"[1]", "no_object"),
        (b'[{"id": {"a": 1}}]', "nested"),
        (b'[{"id": NaN}]', "not_json"),
        (b'[{"id": 1, "id": 2}]', "not_json"),
        (b"[" * 100_000, "nested"),
        (b"\xff", "encoding"),
    ],
)
def test_an_answer_that_is_no_table_is_refused(
    server: SourceServer, body: bytes, code: str
) -> None:
    server.answers = [send(body)]
    with pytest.raises(TableError) as found:
        read_rows(source(server), None, None)
    assert found.value.code == code


def test_no_content_is_no_news(server: SourceServer) -> None:
    server.answers = [send(b"", 204)]
    assert read_rows(source(server), None, None) == []


@pytest.mark.parametrize("status", [429, 500, 502, 503])
def test_a_server_in_trouble_is_worth_another_try(server: SourceServer, status: int) -> None:
    server.answers = [send([], status)]
    with pytest.raises(SourceDownError, match=f"answers {status}"):
        read_rows(source(server), None, None)


def test_nobody_listens(server: SourceServer) -> None:
    free = source(server, url="http://127.0.0.1:9/rows")
    with pytest.raises(SourceDownError, match="no answer"):
        read_rows(free, None, None)


@pytest.mark.parametrize("drips", [False, True])
def test_a_slow_answer_is_cut_at_the_time_limit(server: SourceServer, drips: bool) -> None:
    def slow(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nX: ")
        while not server.released.wait(0.02):
            if drips:
                handler.wfile.write(b"a")

    def until_gone(handler: BaseHTTPRequestHandler) -> None:
        with contextlib.suppress(OSError):
            slow(handler)

    server.answers = [until_gone]
    with pytest.raises(SourceDownError, match=r"no whole answer within 0.3 s"):
        read_rows(source(server, timeout_seconds=0.3), None, None)


def test_a_deadline_counts_down() -> None:
    times = iter([0.0, 4.0, 4.0, 10.0])
    deadline = Deadline(10, clock=lambda: next(times))
    assert deadline.left() == 6.0
    assert deadline.left(2.0) == 2.0
    with pytest.raises(httpcore.ReadTimeout):
        deadline.left()


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "10.1.2.3", "169.254.169.254", "192.168.1.1", "0.0.0.0", "100.64.0.1", "::1",
     "fe80::1", "fd00::1", "::ffff:127.0.0.1"],
)  # fmt: skip
def test_a_private_address_is_refused_unless_it_or_its_network_is_listed(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 443))]
    public = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("93.184.215.14", 443))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [*public, *found])
    with pytest.raises(SourceError, match="private address") as refused:
        allowed_addresses("rows.example", 443, ["rows.example"])
    assert refused.value.code == "private"
    listed = address.removeprefix("::ffff:")
    assert len(allowed_addresses("rows.example", 443, ["rows.example", listed])) == 2
    wide = "0.0.0.0/0" if ":" not in listed else "::/0"
    assert len(allowed_addresses("rows.example", 443, [wide])) == 2


def test_a_name_that_leads_to_this_machine_is_refused_before_anything_is_sent(
    server: SourceServer,
) -> None:
    server.answers = [send(ROWS)]
    local = source(server, url=f"http://localhost:{server.port}/", hosts=["localhost"])
    with pytest.raises(SourceError, match="private address"):
        read_rows(local, None, None)
    assert server.asked == []


def test_a_proxy_of_the_environment_is_no_way_round(
    server: SourceServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    server.answers = [send(ROWS)]
    assert read_rows(source(server), None, None) == ROWS
