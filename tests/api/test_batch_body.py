from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from api.batch_body import Body, Workroom
from api.errors import ApiError

Receive = Callable[[], Awaitable[dict[str, Any]]]
SCOPE = {"type": "http", "headers": []}


def read(receive: Receive) -> tuple[bytes, int]:
    """The body, and the bytes that its room counts afterwards."""
    room = Workroom()

    async def read_all() -> bytes:
        with Body(room) as body:
            return await body.read(SCOPE, receive)

    try:
        return asyncio.run(read_all()), room.n_bytes
    finally:
        room.close()


def part(content: bytes, more: bool = True) -> dict[str, Any]:
    return {"type": "http.request", "body": content, "more_body": more}


def test_parts_are_put_together_and_the_room_is_given_back() -> None:
    parts = iter([part(b"a"), part(b"bc"), part(b"", more=False)])

    async def receive() -> dict[str, Any]:
        return next(parts)

    assert read(receive) == (b"abc", 0)


def test_a_body_that_stalls_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.batch_body.IDLE_SECONDS", 0.02)
    parts = iter([part(b"a")])

    async def receive() -> dict[str, Any]:
        found = next(parts, None)
        if found is None:
            await asyncio.Event().wait()
        assert found is not None
        return found

    with pytest.raises(ApiError) as refusal:
        read(receive)
    assert (refusal.value.status, refusal.value.code) == (408, "body_timeout")


def test_a_body_that_trickles_is_given_up_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.batch_body.TOTAL_SECONDS", 0.02)

    async def receive() -> dict[str, Any]:
        await asyncio.sleep(0)  # a turn of the loop, in which time passes
        return part(b"")

    with pytest.raises(ApiError) as refusal:
        read(receive)
    assert refusal.value.status == 408
