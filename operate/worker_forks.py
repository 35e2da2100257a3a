"""Children forked from one process that has imported everything already."""

from __future__ import annotations

import multiprocessing
from collections.abc import Mapping
from dataclasses import dataclass
from multiprocessing import forkserver, resource_tracker
from multiprocessing.process import BaseProcess
from pathlib import Path
from uuid import UUID

import anyio
from anyio.to_thread import run_sync

from operate.worker_child import execute
from operate.worker_life import identify

PRELOAD = "operate.worker_preload"


@dataclass(frozen=True)
class Child:
    """The process of one flow run."""

    process: BaseProcess
    identifier: str

    async def wait(self) -> int:
        """The exit status, negative for a signal."""
        await anyio.wait_readable(self.process.sentinel)
        self.process.join()
        return self.process.exitcode or 0

    async def stop(self, grace_seconds: float) -> int:
        """TERM, then KILL when it does not listen; the exit status."""
        self.process.terminate()
        with anyio.move_on_after(grace_seconds):
            return await self.wait()
        self.process.kill()
        return await self.wait()


class Forks:
    """Starts children from a warm fork server, which lives until `close`."""

    def __init__(self, preload: str = PRELOAD) -> None:
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload([preload])

    def warm(self) -> None:
        """Start the fork server, or start it again if it died, without waiting for its imports.

        Call it from the main thread: the fork server ends with the thread that started it.
        """
        forkserver.ensure_running()

    async def start(
        self, flow_run_id: UUID, env: Mapping[str, str | None], directory: Path | None
    ) -> Child:
        """The started child of one flow run; waits for the fork server's imports the first time."""
        self.warm()
        process = self._context.Process(target=execute, args=(flow_run_id, dict(env), directory))
        # A cancelled caller must not lose track of a child that is being born.
        await run_sync(process.start)
        return Child(process, identify(process.pid or 0))

    def close(self) -> None:
        """End the fork server and its resource tracker, and wait for both."""
        for server in (forkserver._forkserver, resource_tracker._resource_tracker):  # type: ignore[attr-defined]
            server._stop()
