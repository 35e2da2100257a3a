"""A mail server on loopback, encrypted or not: takes mail, or answers a step as told."""

from __future__ import annotations

import socketserver
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any, ClassVar

HANG = "hang"


class FakeSmtp:
    """A running server: ``say`` has answers of its own for a verb, like ``{"RCPT": "550 who"}``.

    With a context it offers STARTTLS, or ``is_tls`` from the first byte on. ``encrypted`` says of
    each mail how it came.
    """

    def __init__(self, context: ssl.SSLContext | None = None, is_tls: bool = False) -> None:
        self.context, self.is_tls = context, is_tls
        self.encrypted: list[str | None] = []
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
def running_smtp(context: ssl.SSLContext | None = None, is_tls: bool = False) -> Iterator[FakeSmtp]:
    """A fake that answers within the block."""
    fake = FakeSmtp(context, is_tls)
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
        if self.fake.is_tls:
            self._encrypt()
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
                offered = "250-STARTTLS\r\n" if self._may_encrypt() else ""
                self._answer(f"250-fake\r\n{offered}250 AUTH PLAIN")
            elif verb == "STARTTLS" and self._may_encrypt():
                self._answer("220 go ahead")
                self._encrypt()
            elif verb == "RCPT":
                recipients.append(rest.partition(":")[2].strip("<>"))
                self._answer("250 ok")
            elif verb == "DATA":
                self._take(recipients)
            else:
                self._answer({"AUTH": "235 welcome", "QUIT": "221 bye"}.get(verb, "250 ok"))

    def finish(self) -> None:
        super().finish()
        if isinstance(self.connection, ssl.SSLSocket):
            self.connection.close()

    def _may_encrypt(self) -> bool:
        return self.fake.context is not None and not isinstance(self.connection, ssl.SSLSocket)

    def _encrypt(self) -> None:
        assert self.fake.context is not None
        self.connection = self.fake.context.wrap_socket(self.connection, server_side=True)
        self.rfile, self.wfile = self.connection.makefile("rb"), self.connection.makefile("wb", 0)

    def _take(self, recipients: list[str]) -> None:
        self._answer("354 go on")
        lines = []
        while (line := self.rfile.readline()) not in (b".\r\n", b""):
            lines.append(line[1:] if line.startswith(b"..") else line)
        mail = message_from_bytes(b"".join(lines), policy=policy.default)
        assert isinstance(mail, EmailMessage)
        self.fake.mails.append(mail)
        self.fake.recipients.append(list(recipients))
        is_open = not isinstance(self.connection, ssl.SSLSocket)
        self.fake.encrypted.append(None if is_open else self.connection.version())
        self._answer("250 taken")

    def _answer(self, text: str) -> None:
        self.wfile.write(f"{text}\r\n".encode())
