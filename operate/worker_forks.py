"""Children forked from one process that has imported everything already."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from multiprocessing import forkserver, resource_tracker
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any
from uuid import UUID

import anyio
from anyio.to_thread import run_sync

from operate.worker_child import execute
from operate.worker_life import identify

PRELOAD = "operate.worker_preload"
WAIT_SECONDS = 0.05


@dataclass(frozen=True)
class Child:
    """The process of one flow run."""

    process: BaseProcess
    identifier: str

    async def wait(self) -> int:
        """The exit status, negative for a signal."""
        # Several tasks may wait for one child: the run itself and the one that cancels it.
        while self.process.exitcode is None:
            await anyio.sleep(WAIT_SECONDS)
        return self.process.exitcode

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
        self._server: Any = forkserver._forkserver  # what the standard library offers no name for
        self._is_warm = False

    def warm(self) -> None:
        """Start the fork server, or start it again if it died, without waiting for its imports.

        Call it from the main thread: the fork server ends with the thread that started it.
        """
        forkserver.ensure_running()

    async def warmed(self) -> None:
        """Return when the imports are done and a child could be forked at once."""
        self.warm()
        process = self._context.Process(target=os.getpid)
        await run_sync(process.start)
        await run_sync(process.join)
        self._is_warm = True

    async def start(
        self, flow_run_id: UUID, env: Mapping[str, str | None], directory: Path | None
    ) -> Child:
        """The started child of one flow run; waits for the fork server's imports the first time."""
        self.warm()
        process = self._context.Process(target=execute, args=(flow_run_id, dict(env), directory))
        # Runs to its end though the caller be cancelled: no child is born unseen.
        await run_sync(process.start)
        self._is_warm = True
        return Child(process, identify(process.pid or 0))

    def interrupt(self) -> None:
        """Stop waiting for the imports, if they still last: the starts that wait for them fail."""
        if not self._is_warm:
            self._kill()

    def close(self) -> None:
        """End the fork server and its resource tracker, and wait for both."""
        self._kill()
        self._server._stop()
        tracker: Any = resource_tracker._resource_tracker
        tracker._stop()

    def _kill(self) -> None:
        if self._server._forkserver_pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._server._forkserver_pid, signal.SIGKILL)
