"""One request and its answer: its id, its body, its metrics, and what a failure looks like."""

from __future__ import annotations

import asyncio
import itertools
import os
import re
import time
from collections.abc import Mapping
from types import MappingProxyType

from loguru import logger
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.errors import ApiError, ClientGoneError, problem
from api.metrics import Metrics

BODY_LIMIT = 1024 * 1024
BODY_SECONDS = 10.0
REQUEST_ID = re.compile(rb"^[A-Za-z0-9._:-]{1,64}$")
UNMATCHED = "unmatched"
EMPTY: Mapping[str, ASGIApp] = MappingProxyType({})
JSON = (b"content-type", b"application/json")


# An id tells requests apart; it need not be hard to guess.
_PROCESS = os.urandom(8).hex()
_numbers = itertools.count()


class Exchange:
    """What is known of a request beside its content."""

    __slots__ = ("_send", "has_begun", "request_id", "status", "token_id")

    def __init__(self, request_id: str, send: Send | None) -> None:
        self.request_id = request_id
        self.token_id: str | None = None
        self.status = 500
        self.has_begun = False
        self._send = send

    async def send(self, message: Message) -> None:
        """Send a part of the answer; its beginning carries the request's id."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.has_begun = True
            headers = message.get("headers", ())
            message["headers"] = [*headers, (b"x-request-id", self.request_id.encode())]
        assert self._send is not None
        await self._send(message)


class Envelope:
    """The layer around every route: request id, metrics, and no failure without an answer.

    Requests for a path of ``hot`` go to its endpoint at once, without the router.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics, hot: Mapping[str, ASGIApp] = EMPTY) -> None:
        self._app = app
        self._metrics = metrics
        self._hot = hot

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        exchange = scope["exchange"] = Exchange(request_id_of(scope), send)
        endpoint = self._hot.get(scope["path"]) if scope["method"] == "POST" else None
        try:
            await (endpoint or self._app)(scope, receive, exchange.send)
        except ClientGoneError:
            exchange.status = 499
        except Exception as error:
            await _refuse(error, exchange, scope, receive, exchange.send)
        finally:
            route = _route(scope) if endpoint is None else scope["path"]
            self._metrics.observe(route, exchange.status, time.perf_counter() - began)


async def _refuse(
    error: Exception, exchange: Exchange, scope: Scope, receive: Receive, send: Send
) -> None:
    if isinstance(error, ApiError):
        refusal = error
    else:
        # The type and the place, never the message: it may hold what the client sent.
        frame = error.__traceback__
        while frame is not None and frame.tb_next is not None:
            frame = frame.tb_next
        place = f"{frame.tb_frame.f_code.co_filename}:{frame.tb_lineno}" if frame else "?"
        logger.error("request {}: {} at {}", exchange.request_id, type(error).__name__, place)
        refusal = ApiError(500, "internal", "something failed here; the log has this request_id")
    if not exchange.has_begun:
        await problem(refusal, exchange.request_id)(scope, receive, send)


def _route(scope: Scope) -> str:
    """The path as declared: metrics have a fixed set of labels."""
    for part in ("route", "endpoint"):
        path = getattr(scope.get(part), "path", None)
        if path is not None:
            return str(path)
    return UNMATCHED


def request_id_of(scope: Scope) -> str:
    """The id that the client gave, if it is a plain one, or a new one."""
    for name, value in scope["headers"]:
        if name == b"x-request-id" and REQUEST_ID.match(value):
            return str(value.decode())
    return new_request_id()


def new_request_id() -> str:
    """An id that no other request has."""
    return f"{_PROCESS}{next(_numbers):016x}"


async def read_body(scope: Scope, receive: Receive, limit: int = BODY_LIMIT) -> bytes:
    """The request's body.

    Raises ApiError 413 as soon as it is known to be longer than ``limit``, 408 when it stalls.
    """
    for name, value in scope["headers"]:
        if name == b"content-length" and (not value.isdigit() or int(value[:20]) > limit):
            raise _too_long(limit)
    message = await receive()
    if message["type"] == "http.request" and not message.get("more_body"):
        body: bytes = message.get("body", b"")
        if len(body) > limit:
            raise _too_long(limit)
        return body
    try:
        async with asyncio.timeout(BODY_SECONDS):
            return await _read_rest(message, receive, limit)
    except TimeoutError:
        raise ApiError(
            408, "body_timeout", "the body did not arrive in time", {"Connection": "close"}
        ) from None


async def _read_rest(message: Message, receive: Receive, limit: int) -> bytes:
    parts: list[bytes] = []
    size = 0
    while True:
        if message["type"] == "http.disconnect":
            raise ClientGoneError
        part = message.get("body", b"")
        size += len(part)
        if size > limit:
            raise _too_long(limit)
        parts.append(part)
        if not message.get("more_body"):
            return b"".join(parts)
        message = await receive()


def _too_long(limit: int) -> ApiError:
    return ApiError(
        413, "body_too_long", f"expected at most {limit} bytes", {"Connection": "close"}
    )


async def send_json(send: Send, content: bytes) -> None:
    """Answer 200 with JSON bytes."""
    length = (b"content-length", str(len(content)).encode())
    await send({"type": "http.response.start", "status": 200, "headers": [JSON, length]})
    await send({"type": "http.response.body", "body": content})
