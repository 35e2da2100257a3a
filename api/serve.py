"""The server process: binds, answers until told to stop, finishes what it began."""

from __future__ import annotations

import contextlib
import errno
import gc
import signal
import socket
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import uvicorn
from loguru import logger

from api.app import Application, create_app
from api.auth import is_loopback
from api.direct import DirectProtocol, direct_protocol
from api.fixed import fix_bundle
from api.runtime import Runtime
from api.workers import Supervisor
from settings import Settings
from storage.logs import setup_logging
from storage.values import StorageError

BACKLOG = 2048
# Longer than clients and load balancers keep an idle connection: a request must not meet a
# connection that is being closed.
KEEP_ALIVE_SECONDS = 75
GRACE_SECONDS = 15
SWITCH_SECONDS = 0.001
# Requests leave no cycles behind: looking for them seldom is enough.
COLLECT_AFTER = (20_000, 20, 20)


class Server(uvicorn.Server):
    """Uvicorn's server, whose connections know that it stops.

    It asks those that are there to end. One that was let in a moment later would live on with its
    client, hold up the stop until `GRACE_SECONDS` are over, and have its last request cut off.
    """

    def __init__(self, config: uvicorn.Config, protocol: type[DirectProtocol]) -> None:
        super().__init__(config)
        self._protocol = protocol

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop listening, answer what is under way, end."""
        self._protocol.is_ending = True
        await super().shutdown(sockets)


class ServeError(Exception):
    """The server cannot start as asked; the message says why and what to do."""

    exit_code = 2


def serve(
    settings: Settings,
    problems: tuple[str, ...],
    host: str | None = None,
    port: int | None = None,
    workers: int | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT; requests under way are answered first.

    Without ``host``, ``port`` or ``workers``, as the settings have them.

    Raises ServeError when it may not or cannot listen there.
    """
    host = host or settings.api_host
    port = settings.api_port if port is None else port
    settings = settings.model_copy(update={"api_host": host, "api_port": port})
    workers = settings.api_workers if workers is None else workers
    if workers < 1:
        raise ServeError(f"--workers: found {workers}; expected 1 or more")
    app = _checked_app(settings, problems, host)
    with _listen(host, port) as listener:
        setup_logging(settings.log_level, json_lines=True)
        logger.info("serving {} at http://{}:{}", ", ".join(problems), host, port)
        if workers == 1:
            _run(app, listener)
            return
        # A worker makes an app of its own: connections and threads do not survive a fork.
        app.state.runtime.discard()
        del app
        with _shared_folder(settings.home) as shared:

            def work() -> None:
                _run(create_app(settings, problems, shared, is_alone=False), listener)

            _collect_from_here()
            Supervisor(workers, work).run()


def _collect_from_here() -> None:
    """Look for garbage in what comes from now on: what is imported by now stays for ever.

    Half a megabyte of it is garbage; to find that takes as long as to make the app.
    """
    gc.freeze()
    gc.set_threshold(*COLLECT_AFTER)
    gc.enable()


def fixed_settings(settings: Settings, url: str) -> tuple[Settings, str]:
    """Settings to serve the bundle at a folder or ``file://`` URL alone, and its problem.

    Raises ServeError when there is no whole bundle.
    """
    try:
        return fix_bundle(settings, url)
    except ValueError as error:
        raise ServeError(str(error)) from error


def _checked_app(settings: Settings, problems: tuple[str, ...], host: str) -> Application:
    try:
        app = create_app(settings, problems, is_alone=False)
    except (StorageError, ValueError) as error:
        raise ServeError(str(error)) from error
    if not is_loopback(host) and not _has_token(app.state.runtime):
        raise ServeError(
            f"--host {host}: this address can be reached from other machines and no live token "
            "exists; make one with `perennial token create --scope predict`, or set "
            "PERENNIAL_API_TOKEN"
        )
    return app


def _run(app: Application, listener: socket.socket) -> None:
    """Answer in this process until asked to stop."""
    protocol = direct_protocol(app.direct, app.runtime.metrics, app.runtime.limits)
    config = uvicorn.Config(
        app,
        loop="auto",
        http=protocol,
        ws="none",
        lifespan="on",
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=GRACE_SECONDS,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
    )
    server = Server(config, protocol)

    def stop(_signal: int, _frame: FrameType | None) -> None:
        server.should_exit = True

    # Until the server listens to signals itself; and it raises them again when it is done: a stop
    # that was asked for is no failure.
    signal.signal(signal.SIGTERM, stop)
    # Threads that write and drain need the interpreter for moments: they wait less for it.
    sys.setswitchinterval(SWITCH_SECONDS)
    _collect_from_here()
    with contextlib.suppress(KeyboardInterrupt):
        server.run(sockets=[listener])
    logger.info("stopped")


@contextlib.contextmanager
def _shared_folder(home: Path) -> Iterator[Path]:
    """A folder for the workers of this server, gone when it ends."""
    parent = home / "serving"
    parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".workers-", dir=parent) as folder:
        yield Path(folder)


def _has_token(runtime: Runtime) -> bool:
    runtime.gate.recall()
    return runtime.gate.has_live_token


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, kind, number, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, number)
    except OSError as error:
        raise ServeError(f"--host {host}: {error.strerror}; expected an address of ours") from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise ServeError(
                f"port {port} of {host} is taken by another process; stop it, or choose another "
                "with --port or PERENNIAL_API_PORT"
            ) from error
        raise ServeError(f"cannot listen at {host}:{port}: {error.strerror}") from error
    return listener
