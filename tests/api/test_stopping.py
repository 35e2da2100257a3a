"""A server that is told to stop: what is under way is answered, and no connection keeps it."""

from __future__ import annotations

import asyncio
import signal
import socket
from typing import Any

import pytest
import uvicorn
from uvicorn.server import ServerState

from api.direct import DirectProtocol
from api.serve import Server
from settings import Settings
from tests.api.servers import ServerProcess, free_port, wait_until
from tests.api.test_direct_heads import Line, request
from tests.factories_bundles import promote_version

FIRST = request(b'{"features":[1],"prediction_id":"first-one"}')
OTHER = request(b'{"features":[1],"prediction_id":"other-one"}')


def is_closed(port: int) -> bool:
    """Whether nobody listens there any more."""
    with socket.socket() as door:
        return door.connect_ex(("127.0.0.1", port)) != 0


@pytest.mark.slow
def test_a_request_that_was_half_there_is_answered_and_ends_its_connection(
    settings: Settings,
) -> None:
    settings.home.mkdir()
    promote_version(settings.store, 1)
    server = ServerProcess(settings.home, free_port())
    try:
        wait_until(server.answers)
        with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
            line = Line(connection)
            assert line.ask(FIRST)[0] == 200  # its head is known now
            line.send(OTHER[:-5])
            server.process.send_signal(signal.SIGTERM)
            wait_until(lambda: is_closed(server.port))
            line.send(OTHER[-5:])
            status, document, head = line.answer()
            assert (status, document["prediction_id"]) == (200, "other-one")
            assert b"connection: close" in head.lower()
            assert line.is_ended()
        assert server.process.wait(timeout=10) == 0
    finally:
        server.kill()


class Transport(asyncio.Transport):
    """Of a client that was let in a moment ago."""

    is_ended = False

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default

    def close(self) -> None:
        self.is_ended = True


def test_a_connection_that_comes_while_the_server_stops_is_closed_at_once() -> None:
    class Protocol(DirectProtocol):
        """One server's own."""

    async def nobody(_scope: Any, _receive: Any, _send: Any) -> None:
        raise AssertionError("nobody asks")

    async def come() -> Transport:
        transport = Transport()
        Protocol(config, ServerState(), {}).connection_made(transport)
        return transport

    async def stop() -> Transport:
        server = Server(config, Protocol)
        server.lifespan = config.lifespan_class(config)
        server.servers = []
        await server.shutdown()
        return await come()

    config = uvicorn.Config(nobody, http=Protocol, lifespan="off", log_config=None)
    config.load()
    assert asyncio.run(come()).is_ended is False
    assert asyncio.run(stop()).is_ended is True
