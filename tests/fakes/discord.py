"""A Discord webhook server on loopback: answers, limits, refuses, hangs and dies as told."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.parser import BytesParser
from email.policy import HTTP
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

WEBHOOK_PATH = "/api/webhooks/1234567890/fake-secret-token"
MAXIMUM = {"title": 256, "description": 4096}


@dataclass(frozen=True)
class Answer:
    """One scripted answer; ``manner`` is whole, hang, die, drip or reset."""

    status: int = 204
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    manner: str = "whole"


OK = Answer()
HANG = Answer(manner="hang")
DIE = Answer(200, b'{"id": "1", "content": ""}', manner="die")
DRIP = Answer(manner="drip")
RESET = Answer(manner="reset")


def refusal(status: int, code: int = 0) -> Answer:
    """What Discord answers when it refuses."""
    body = json.dumps({"message": "no", "code": code}).encode()
    return Answer(status, body, {"Content-Type": "application/json"})


def limited(seconds: float, *, via: bool = True, in_body: bool = True) -> Answer:
    """A 429 as Discord sends it: with ``Via``; without, as its proxy does, with a page."""
    headers = {"Retry-After": str(int(-(-seconds // 1)))}
    if via:
        headers["Via"] = "1.1 google"
    said = {"message": "You are being rate limited.", "retry_after": seconds, "global": False}
    return Answer(429, json.dumps(said).encode() if in_body else b"<html>", headers)


def redirect(to: str) -> Answer:
    """A redirect that stays what it is for POST."""
    return Answer(301, b"", {"Location": to})


class FakeDiscord:
    """A running server: ``script`` holds the next answers, `OK` once it is empty."""

    def __init__(self) -> None:
        self.script: list[Answer] = []
        self.payloads: list[dict[str, Any]] = []
        self.methods: list[str] = []
        self.pictures: list[bytes] = []
        self.is_closing = threading.Event()
        self._lock = threading.Lock()
        handler = type("Handler", (_Handler,), {"fake": self})
        self._server = _Server(("127.0.0.1", 0), handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    @property
    def url(self) -> str:
        """The webhook's address."""
        return f"http://127.0.0.1:{self._server.server_address[1]}{WEBHOOK_PATH}"

    @property
    def titles(self) -> list[str]:
        """Titles of all messages asked for, taken or not, in their order."""
        return [payload["embeds"][0]["title"] for payload in self.payloads]

    def take(self, method: str, payload: dict[str, Any] | None) -> Answer:
        """Remember a request and choose its answer."""
        with self._lock:
            self.methods.append(method)
            if payload is not None:
                self.payloads.append(payload)
            return self.script.pop(0) if self.script else OK

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def stop(self) -> None:
        """Let go of all who hang and stop."""
        self.is_closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@contextmanager
def running_discord() -> Iterator[FakeDiscord]:
    """A fake that answers within the block."""
    fake = FakeDiscord()
    fake.start()
    try:
        yield fake
    finally:
        fake.stop()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that gave up are no news."""


class _Handler(BaseHTTPRequestHandler):
    fake: ClassVar[FakeDiscord]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        kind = self.headers.get("Content-Type", "")
        if kind.startswith("multipart/form-data"):
            payload = self._message(kind, body)
        else:
            payload = json.loads(body)
        answer = self.fake.take("POST", payload)
        if answer is OK and (problem := _mistake(payload)):
            answer = refusal(400, problem)
        elif answer is OK and parse_qs(urlsplit(self.path).query).get("wait") == ["True"]:
            answer = Answer(200, b'{"id": "1"}', {"Content-Type": "application/json"})
        self._give(answer)

    def _message(self, kind: str, body: bytes) -> Any:
        """The message among the parts of a form; the files beside it are remembered."""
        text = f"Content-Type: {kind}\r\n\r\n".encode() + body
        payload: Any = None
        for part in BytesParser(policy=HTTP).parsebytes(text).iter_parts():
            content = part.get_payload(decode=True)
            if part.get_param("name", header="content-disposition") == "payload_json":
                payload = json.loads(content)
            else:
                self.fake.pictures.append(content)
        return payload

    def do_GET(self) -> None:
        self.fake.take("GET", None)
        self._give(Answer(200, b'{"id": "1", "name": "a webhook"}'))

    def _give(self, answer: Answer) -> None:
        if answer.manner == "hang":
            self.fake.is_closing.wait()
        elif answer.manner == "drip":
            self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Drip: ")
            while not self.fake.is_closing.wait(0.05):
                self.wfile.write(b".")
        elif answer.manner != "reset":
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            missing = 100 if answer.manner == "die" else 0
            self.send_header("Content-Length", str(len(answer.body) + missing))
            self.end_headers()
            self.wfile.write(answer.body)
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        """Keep quiet."""


def _mistake(payload: dict[str, Any]) -> int:
    """Discord's code for a body that it would refuse, 0 for a good one."""
    total = 0
    for embed in payload["embeds"]:
        for name, most in MAXIMUM.items():
            if not 0 < len(embed[name]) <= most:
                return 50035
            total += len(embed[name])
        total += len(embed["footer"]["text"])
        for shown in embed["fields"]:
            if not 0 < len(shown["name"]) <= 256 or not 0 < len(shown["value"]) <= 1024:
                return 50035
            total += len(shown["name"]) + len(shown["value"])
        if len(embed["fields"]) > 25:
            return 50035
    return 50035 if total > 6000 else 0
