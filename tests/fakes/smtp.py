"""A mail server on loopback: takes mail, or answers a step of the talk as told."""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any, ClassVar

HANG = "hang"


class FakeSmtp:
    """A running server: ``say`` has answers of its own for a verb, like ``{"RCPT": "550 who"}``."""

    def __init__(self) -> None:
        self.say: dict[str, str] = {}
        self.mails: list[EmailMessage] = []
        self.recipients: list[list[str]] = []
        self.verbs: list[str] = []
        self.is_closing = threading.Event()
        handler = type("Handler", (_Handler,), {"fake": self})
        self._server = _Server(("127.0.0.1", 0), handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._server.server_address[1])

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
def running_smtp() -> Iterator[FakeSmtp]:
    """A fake that answers within the block."""
    fake = FakeSmtp()
    fake.start()
    try:
        yield fake
    finally:
        fake.stop()


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that gave up are no news."""


class _Handler(socketserver.StreamRequestHandler):
    fake: ClassVar[FakeSmtp]

    def handle(self) -> None:
        recipients: list[str] = []
        self._answer("220 fake ready")
        while line := self.rfile.readline():
            verb, _, rest = line.decode().strip().partition(" ")
            verb = verb.upper()
            self.fake.verbs.append(verb)
            told = self.fake.say.get(verb)
            if told == HANG:
                self.fake.is_closing.wait()
                return
            if told is not None:
                self._answer(told)
            elif verb == "EHLO":
                self._answer("250-fake\r\n250 AUTH PLAIN")
            elif verb == "RCPT":
                recipients.append(rest.partition(":")[2].strip("<>"))
                self._answer("250 ok")
            elif verb == "DATA":
                self._take(recipients)
            else:
                self._answer({"AUTH": "235 welcome", "QUIT": "221 bye"}.get(verb, "250 ok"))

    def _take(self, recipients: list[str]) -> None:
        self._answer("354 go on")
        lines = []
        while (line := self.rfile.readline()) not in (b".\r\n", b""):
            lines.append(line[1:] if line.startswith(b"..") else line)
        mail = message_from_bytes(b"".join(lines), policy=policy.default)
        assert isinstance(mail, EmailMessage)
        self.fake.mails.append(mail)
        self.fake.recipients.append(list(recipients))
        self._answer("250 taken")

    def _answer(self, text: str) -> None:
        self.wfile.write(f"{text}\r\n".encode())
