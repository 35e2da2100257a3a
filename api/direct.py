"""The shortest way for `/predict`: from the bytes of a request to those of its answer.

A general server parses every header of every request and makes a task and a dozen objects for it,
which costs more than all that a prediction needs. But a client sends the same head again and again,
byte for byte: what a head means is remembered once it has been parsed, and the next request that
begins with the very same bytes skips the parser. Whatever is new or unusual, and every refusal,
takes the ordinary way with nothing lost.
"""

from __future__ import annotations

import time
from asyncio import TimerHandle
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from api.errors import ApiError
from api.exchange import BODY_LIMIT, new_request_id
from api.gathering import Waiting
from api.limits import Limits
from api.metrics import Metrics

Headers = list[tuple[bytes, bytes]]

END = b"\r\n\r\n"
# With other headers, a head says more than which prediction is asked for by whom.
PLAIN = frozenset({b"host", b"user-agent", b"accept", b"accept-encoding", b"accept-language"}) | {
    b"authorization",
    b"connection",
    b"content-length",
    b"content-type",
}
HEAD_LIMIT = 1024
HEADS_KEPT = 4096
# A body that takes longer is left to the ordinary way, which knows how slow one may be.
PATIENCE_SECONDS = 1.0


# A request is counted against its token once.
CHECKED: Mapping[str, Any] = MappingProxyType({"was_checked": True})


class Answerer(Protocol):
    """An endpoint that can take a whole request at once."""

    def knows(self, authorization: bytes) -> bool:
        """Whether a client may ask."""

    def admit(self, authorization: bytes) -> None:
        """Let a client ask now. Raises ApiError."""

    def take(self, content: bytes) -> Waiting | None:
        """The request on its way; None when it needs a task. Raises ApiError."""


class Head(NamedTuple):
    """What the bytes before a body say."""

    path: str
    length: int
    authorization: bytes


class DirectProtocol(HttpToolsProtocol):
    """Uvicorn's HTTP protocol with a shorter way for some paths."""

    direct: Mapping[str, Answerer]
    metrics: Metrics
    limits: Limits
    heads: dict[bytes, Head]
    # Of all connections of a server: it stops.
    is_ending = False
    _beginning: tuple[Headers | None, bytes] = (None, b"")
    _is_between = True
    # A request of which the body has not come whole: its head, and what came so far.
    _begun: tuple[Head, bytearray] | None = None
    _patience: TimerHandle | None = None
    # A request that is being answered, in case that the ordinary way must do it.
    _asked: tuple[Head, bytes] | None = None
    _later = b""
    _began = 0.0
    _is_last = False
    # What the ordinary way need not find out again.
    _known: Mapping[str, Any] | None = None

    def connection_made(self, transport: Any) -> None:
        """Begin, or end at once if the server stops: nobody would ask this one to."""
        super().connection_made(transport)
        if self.is_ending:
            self.shutdown()

    def data_received(self, data: bytes) -> None:
        """Answer the request that this makes whole, or leave the bytes to the ordinary way."""
        if self._begun is not None:
            self._go_on(self._begun, data)
        elif self._asked is not None:
            self._later += data
            if len(self._later) > BODY_LIMIT:
                self.flow.pause_reading()
        elif self._is_between and (self.cycle is None or self.cycle.response_complete):
            end = data.find(END) + len(END)
            head = self.heads.get(data[:end])
            if head is None:
                self._parse(data)
                self._learn(data, end)
            elif len(data) == end + head.length:
                self._take(head, data, end)
            else:
                self._wait(head, data)
        else:
            self._parse(data)

    def on_message_begin(self) -> None:
        """A request that is parsed."""
        self._is_between = False
        super().on_message_begin()

    def on_message_complete(self) -> None:
        """The end of one: what comes next begins another."""
        self._is_between = True
        super().on_message_complete()

    def shutdown(self) -> None:
        """Close the connection, after the request under way."""
        if self._asked is None and self._begun is None:
            super().shutdown()
        self._is_last = True

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget a request that will never be whole."""
        self._begun = None
        self._lose_patience()
        super().connection_lost(exc)

    def timeout_keep_alive_handler(self) -> None:
        """Close the connection when it was idle for long, else look again when it may have been.

        Cancelling and setting a timer for each request would cost as much as parsing does.
        """
        left = self._began + self.timeout_keep_alive - time.perf_counter()
        if self._asked is None and self._begun is None and left <= 0:
            super().timeout_keep_alive_handler()
        else:
            self._watch_idleness(max(left, PATIENCE_SECONDS))

    def _watch_idleness(self, seconds: float) -> None:
        self.timeout_keep_alive_task = self.loop.call_later(
            seconds, self.timeout_keep_alive_handler
        )

    def _parse(self, data: bytes) -> None:
        """The ordinary way."""
        if self.parser is not None:  # the connection may be lost
            super().data_received(data)

    def _learn(self, data: bytes, end: int) -> None:
        """Remember what a head means that the parser has just read, if it is a plain one."""
        if not len(END) < end <= HEAD_LIMIT or self.cycle is None:
            return
        head = self._understood(data[:end], self.cycle)
        # More bytes than that would be those of a second request, and the parser speaks of that.
        if head is None or len(data) > end + head.length:
            return
        if len(self.heads) >= HEADS_KEPT:
            del self.heads[next(iter(self.heads))]
        self.heads[data[:end]] = head

    def _understood(self, begun: bytes, cycle: RequestResponseCycle) -> Head | None:
        scope, headers = cycle.scope, dict(cycle.scope["headers"])
        is_plain = (
            begun.startswith(b"POST ")
            and scope["path"] in self.direct
            and not scope["query_string"]
            and scope["http_version"] == "1.1"
            and cycle.keep_alive
            and not cycle.waiting_for_100_continue
            and len(headers) == len(self.headers)
            and begun.count(b"\r\n") == len(headers) + 2
            and headers.keys() <= PLAIN
        )
        length = headers.get(b"content-length", b"")
        if not is_plain or not length.isdigit() or not 0 < int(length) <= BODY_LIMIT:
            return None
        authorization = headers.get(b"authorization", b"")
        if not self.direct[scope["path"]].knows(authorization):
            return None
        return Head(scope["path"], int(length), authorization)

    def _wait(self, head: Head, data: bytes) -> None:
        """Begin to gather the rest of a body."""
        self._begun = head, bytearray()
        self._go_on(self._begun, data)
        if self._begun is not None:
            self._patience = self.loop.call_later(PATIENCE_SECONDS, self._give_up)

    def _go_on(self, begun: tuple[Head, bytearray], data: bytes) -> None:
        head, content = begun
        content += data
        end = content.find(END) + len(END)
        if len(content) < end + head.length:
            return
        self._begun = None
        self._lose_patience()
        whole = bytes(content[: end + head.length])
        self._later = bytes(content[end + head.length :])
        self._take(head, whole, end)
        if self._asked is None:
            self._hear_later()

    def _give_up(self) -> None:
        begun, self._begun = self._begun, None
        if begun is not None:
            self._parse(bytes(begun[1]))

    def _lose_patience(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def _take(self, head: Head, whole: bytes, end: int) -> None:
        self._began = time.perf_counter()
        answerer = self.direct[head.path]
        if self.flow.write_paused or self.transport.is_closing():
            self._parse(whole)
            return
        try:
            answerer.admit(head.authorization)
        except ApiError:
            self._parse(whole)
            return
        try:
            self.limits.enter(head.path)
        except ApiError:
            self._leave(whole, CHECKED)
            return
        known: Mapping[str, Any] = CHECKED
        try:
            waiting = answerer.take(whole[end:])
        except Exception as error:
            waiting = None
            known = {**CHECKED, "failure": error}
        if waiting is None:
            self.limits.leave()
            self._leave(whole, known)
            return
        self._asked = head, whole
        waiting.reply = self._reply

    def _leave(self, whole: bytes, known: Mapping[str, Any]) -> None:
        """Leave a whole request to the ordinary way, with what is known of it."""
        self._known = known
        try:
            self._parse(whole)
        finally:
            self._known = None

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        if self._known is not None:
            scope: Any = cycle.scope
            scope.update(self._known)
        if self._is_last:  # it was under way on the short way when the server began to stop
            cycle.keep_alive = False
        super()._start_asgi_task(cycle, app)

    def _reply(self, body: bytes | None, error: Exception | None) -> None:
        asked, self._asked = self._asked, None
        assert asked is not None
        head, whole = asked
        self.limits.leave()
        if body is None:
            self._leave(whole, {**CHECKED, "failure": error})
        else:
            self._send(body)
            self.metrics.observe(head.path, 200, time.perf_counter() - self._began)
        if self._later:
            self._hear_later()

    def _hear_later(self) -> None:
        """Take up what was sent before the answer to the request before it."""
        self.flow.resume_reading()
        data, self._later = self._later, b""
        if data and not self.transport.is_closing():
            self.data_received(data)

    def _send(self, body: bytes) -> None:
        if self.transport.is_closing():
            return
        self.server_state.total_requests += 1
        ending = b"connection: close\r\n\r\n" if self._is_last else b"\r\n"
        self.transport.write(
            b"%bcontent-length: %d\r\nx-request-id: %b\r\n%b%b"
            % (self._first_lines(), len(body), new_request_id().encode(), ending, body)
        )
        if self._is_last:
            self.transport.close()
        elif self.timeout_keep_alive_task is None:
            self._watch_idleness(self.timeout_keep_alive)

    def _first_lines(self) -> bytes:
        """Status line and the headers that are the same for a second."""
        defaults = self.server_state.default_headers
        known, lines = DirectProtocol._beginning
        if known is not defaults:
            headers = [b"%b: %b\r\n" % header for header in defaults]
            lines = b"".join(
                [b"HTTP/1.1 200 OK\r\n", *headers, b"content-type: application/json\r\n"]
            )
            DirectProtocol._beginning = (defaults, lines)
        return lines


def direct_protocol(
    direct: Mapping[str, Answerer], metrics: Metrics, limits: Limits
) -> type[DirectProtocol]:
    """The protocol of one application, as uvicorn takes it."""
    parts = {"direct": direct, "metrics": metrics, "limits": limits, "heads": {}}
    return type("ApplicationProtocol", (DirectProtocol,), parts)
