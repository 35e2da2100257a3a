"""Several worker processes behind one listening socket, and the parent that keeps them alive."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from types import FrameType

from loguru import logger

# A worker that dies sooner than this after its start is started again with a growing pause.
YOUNG_SECONDS = 2.0
LONGEST_PAUSE_SECONDS = 5.0
PATIENCE_SECONDS = 25.0
POLL_SECONDS = 0.05
STOPPING = (signal.SIGTERM, signal.SIGINT)


class Supervisor:
    """Forks workers, replaces those that die, and ends with all of them.

    Forked rather than started anew: a replacement answers within a tenth of a second, and what
    was imported is in memory once. The parent runs no threads and answers nothing itself.
    """

    def __init__(self, n_workers: int, work: Callable[[], None]) -> None:
        self._n_workers = n_workers
        self._work = work
        self._started: dict[int, float] = {}
        self._asked_at: float | None = None
        self._pause = 0.0
        # The workers' end of this pipe closes when the parent is gone, however it went.
        self._lifeline = os.pipe()

    def run(self) -> None:
        """Keep the workers running until SIGTERM or SIGINT; return when all have ended."""
        for number in STOPPING:
            signal.signal(number, self._ask_to_stop)
        while self._asked_at is None or self._started:
            if self._asked_at is None:
                self._fill()
            elif time.monotonic() - self._asked_at > PATIENCE_SECONDS:
                self._signal_all(signal.SIGKILL)
            self._reap()
            time.sleep(POLL_SECONDS)
        logger.info("all workers have ended")

    def _fill(self) -> None:
        while len(self._started) < self._n_workers and self._asked_at is None:
            # A signal between the fork and what follows it would find the wrong handler.
            signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)
            pid = os.fork()
            if pid == 0:
                self._become_worker()
            self._started[pid] = time.monotonic()
            signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)

    def _become_worker(self) -> None:
        code = 1
        try:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.default_int_handler)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)
            os.close(self._lifeline[1])
            threading.Thread(target=_end_with, args=(self._lifeline[0],), daemon=True).start()
            self._work()
            code = 0
        except KeyboardInterrupt:
            code = 0
        except BaseException as error:
            logger.error("worker: {}: {}", type(error).__name__, error)
        finally:
            os._exit(code)  # never back into the parent's code

    def _reap(self) -> None:
        while self._started:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            began = self._started.pop(pid, 0.0)
            if self._asked_at is not None:
                continue
            is_young = time.monotonic() - began < YOUNG_SECONDS
            self._pause = min(LONGEST_PAUSE_SECONDS, 2 * self._pause + 0.1) if is_young else 0.0
            code = os.waitstatus_to_exitcode(status)
            logger.warning("worker {} ended ({}): another takes its place", pid, code)
            self._wait(self._pause)

    def _wait(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while self._asked_at is None and time.monotonic() < until:
            time.sleep(POLL_SECONDS)

    def _ask_to_stop(self, _signal: int, _frame: FrameType | None) -> None:
        if self._asked_at is None:
            self._asked_at = time.monotonic()
        self._signal_all(signal.SIGTERM)

    def _signal_all(self, number: signal.Signals) -> None:
        for pid in list(self._started):
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                continue


def _end_with(lifeline: int) -> None:
    """Ask this process to stop as soon as its parent is gone."""
    os.read(lifeline, 1)
    os.kill(os.getpid(), signal.SIGTERM)
