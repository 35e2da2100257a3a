"""The shortest way for `/predict`: from the bytes of a whole request to those of its answer.

An ASGI server makes a task and a dozen small objects per request, which costs as much as all that
a prediction needs. A request that came whole, for a path that can answer without a task, skips
them; every other one, and every refusal, takes the ordinary way with nothing lost.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Protocol

from starlette.types import Scope
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from api.errors import ApiError
from api.exchange import BODY_LIMIT, Exchange, request_id_of
from api.gathering import Waiting
from api.limits import Limits
from api.metrics import Metrics

Headers = list[tuple[bytes, bytes]]


class Answerer(Protocol):
    """An endpoint that can take a whole request at once."""

    def take(self, scope: Scope, content: bytes) -> Waiting | None:
        """The request on its way; None when it needs a task. Raises ApiError."""


class DirectProtocol(HttpToolsProtocol):
    """Uvicorn's HTTP protocol with a shorter way for some paths."""

    direct: Mapping[str, Answerer]
    metrics: Metrics
    limits: Limits
    _head: tuple[Headers | None, bytes] = (None, b"")
    _is_receiving = False
    _held: RequestResponseCycle | None = None

    def data_received(self, data: bytes) -> None:
        """Parse; then answer the request that this made whole."""
        self._is_receiving = True
        super().data_received(data)
        self._is_receiving = False
        cycle, self._held = self._held, None
        if cycle is None or self.transport.is_closing():
            return
        if cycle.more_body or len(cycle.body) > BODY_LIMIT or self.flow.write_paused:
            super()._start_asgi_task(cycle, self.app)
        else:
            self._take(cycle)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        scope = cycle.scope
        if (
            self._is_receiving
            and scope["path"] in self.direct
            and scope["method"] == "POST"
            and not scope["query_string"]
            and not cycle.waiting_for_100_continue
        ):
            self._held = cycle  # its body may have come with the same bytes
            return
        super()._start_asgi_task(cycle, app)

    def _take(self, cycle: RequestResponseCycle) -> None:
        began = time.perf_counter()
        scope: Any = cycle.scope
        path = scope["path"]
        exchange = scope["exchange"] = Exchange(request_id_of(scope), None)
        try:
            self.limits.enter(path)
        except ApiError:
            super()._start_asgi_task(cycle, self.app)
            return
        try:
            waiting = self.direct[path].take(scope, bytes(cycle.body))
        except Exception as error:
            waiting = None
            scope["failure"] = error
        if waiting is None:
            self.limits.leave()
            super()._start_asgi_task(cycle, self.app)
            return

        def reply(body: bytes | None, error: Exception | None) -> None:
            self.limits.leave()
            if body is None:
                scope["failure"] = error
                super(DirectProtocol, self)._start_asgi_task(cycle, self.app)
                return
            self._send(cycle, exchange, body)
            self.metrics.observe(path, 200, time.perf_counter() - began)

        waiting.reply = reply

    def _send(self, cycle: RequestResponseCycle, exchange: Exchange, body: bytes) -> None:
        cycle.response_started = cycle.response_complete = True
        if not cycle.disconnected and not self.transport.is_closing():
            ending = b"\r\n" if cycle.keep_alive else b"connection: close\r\n\r\n"
            self.transport.write(
                b"%bcontent-length: %d\r\nx-request-id: %b\r\n%b%b"
                % (
                    self._beginning(cycle.default_headers),
                    len(body),
                    exchange.request_id.encode(),
                    ending,
                    body,
                )
            )
            if not cycle.keep_alive:
                self.transport.close()
        self.on_response_complete()

    def _beginning(self, defaults: Headers) -> bytes:
        """Status line and the headers that are the same for a second."""
        known, beginning = DirectProtocol._head
        if known is not defaults:
            lines = [b"%b: %b\r\n" % header for header in defaults]
            beginning = b"".join(
                [b"HTTP/1.1 200 OK\r\n", *lines, b"content-type: application/json\r\n"]
            )
            DirectProtocol._head = (defaults, beginning)
        return beginning


def direct_protocol(
    direct: Mapping[str, Answerer], metrics: Metrics, limits: Limits
) -> type[DirectProtocol]:
    """The protocol of one application, as uvicorn takes it."""
    parts = {"direct": direct, "metrics": metrics, "limits": limits}
    return type("ApplicationProtocol", (DirectProtocol,), parts)
