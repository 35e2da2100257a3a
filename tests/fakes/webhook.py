"""A web address on loopback that takes JSON, or answers as told."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

from tests.fakes.discord import Answer


class FakeWebhook:
    """A running server: ``script`` holds the next answers, 200 once it is empty."""

    def __init__(self) -> None:
        self.script: list[Answer] = []
        self.bodies: list[bytes] = []
        self.headers: list[dict[str, str]] = []
        self.is_closing = threading.Event()
        handler = type("Handler", (_Handler,), {"fake": self})
        self._server = _Server(("127.0.0.1", 0), handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/hook"

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
def running_webhook() -> Iterator[FakeWebhook]:
    """A fake that answers within the block."""
    fake = FakeWebhook()
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
    fake: ClassVar[FakeWebhook]

    def do_POST(self) -> None:
        self.fake.bodies.append(self.rfile.read(int(self.headers.get("Content-Length", 0))))
        self.fake.headers.append(dict(self.headers.items()))
        answer = self.fake.script.pop(0) if self.fake.script else Answer(200, b"ok")
        if answer.manner == "hang":
            self.fake.is_closing.wait()
        elif answer.manner == "drip":
            self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Drip: ")
            while not self.fake.is_closing.wait(0.05):
                self.wfile.write(b".")
        else:
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body)
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        """Keep quiet."""
