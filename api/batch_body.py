"""Reading and computing what is large: bounded in bytes and threads, beside the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from starlette.types import Receive, Scope, Send

from api.errors import ApiError, ClientGoneError

BODY_LIMIT = 64 * 1024 * 1024
# Of all bodies together: what they are decoded into is a few times as large.
TOTAL_LIMIT = 2 * BODY_LIMIT
IDLE_SECONDS = 10.0
TOTAL_SECONDS = 120.0
# Smaller ones take less time than handing them to a thread.
SMALL_BYTES = 8 * 1024
THREADS = 2

P = ParamSpec("P")
T = TypeVar("T")


class Workroom:
    """The bodies in work of one process, and the threads that compute."""

    def __init__(self) -> None:
        self._executor = ThreadPoolExecutor(THREADS, thread_name_prefix="batch")
        self.n_bytes = 0

    async def compute(
        self,
        size: int,
        work: Callable[P, T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """What ``work`` returns; in a thread unless the body's ``size`` is small."""
        if size <= SMALL_BYTES:
            return work(*args, **kwargs)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._executor, lambda: work(*args, **kwargs))

    def close(self) -> None:
        """Start nothing more."""
        self._executor.shutdown(wait=False, cancel_futures=True)


class Body:
    """One request's share of the workroom, given back at the end of ``with``."""

    def __init__(self, room: Workroom) -> None:
        self._room = room
        self._n_taken = 0

    def __enter__(self) -> Body:
        return self

    def __exit__(self, *_: object) -> None:
        self._room.n_bytes -= self._n_taken

    async def read(self, scope: Scope, receive: Receive) -> bytes:
        """The request's body.

        Raises ApiError 413 as soon as it is known to be too long, 408 when it stalls, 503 when
        the bodies in work leave no room for it.
        """
        for name, value in scope["headers"]:
            if name == b"content-length":
                if not value.isdigit() or int(value[:20]) > BODY_LIMIT:
                    raise _too_long()
                self._take(int(value))
        parts: list[bytes] = []
        size = 0
        is_whole = False
        now = asyncio.get_running_loop().time
        end = now() + TOTAL_SECONDS
        try:
            # One timer that is put off: one for each part would cost more than the part.
            async with asyncio.timeout(IDLE_SECONDS) as patience:
                while not is_whole:
                    message = await receive()
                    patience.reschedule(min(now() + IDLE_SECONDS, end))
                    if message["type"] == "http.disconnect":
                        raise ClientGoneError
                    part = message.get("body", b"")
                    size += len(part)
                    if size > BODY_LIMIT:
                        raise _too_long()
                    if size > self._n_taken:
                        self._take(size - self._n_taken)
                    parts.append(part)
                    is_whole = not message.get("more_body")
        except TimeoutError:
            close = {"Connection": "close"}
            detail = "the body did not arrive in time"
            raise ApiError(408, "body_timeout", detail, close) from None
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _take(self, n_bytes: int) -> None:
        if self._room.n_bytes + n_bytes > TOTAL_LIMIT:
            raise ApiError(
                503,
                "busy",
                "other batches are in work; send this one again soon",
                {"Retry-After": "2", "Connection": "close"},
            )
        self._room.n_bytes += n_bytes
        self._n_taken += n_bytes


async def send_bytes(send: Send, content: bytes, media_type: str) -> None:
    """Answer 200 with this content."""
    headers = [
        (b"content-type", media_type.encode()),
        (b"content-length", str(len(content)).encode()),
    ]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": content})


def _too_long() -> ApiError:
    detail = f"expected at most {BODY_LIMIT} bytes"
    return ApiError(413, "body_too_long", detail, {"Connection": "close"})
