"""Leaves the counts of answers where the loop reads them, off the request path."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from uuid import uuid4

from loguru import logger

from api.metrics import Metrics
from storage.traffic import LONGEST_WINDOW_SECONDS, Counts, Sample, leave_samples

SAMPLE_SECONDS = 10.0
# What answers people's questions; a health check that says no is no error.
ANSWERING = frozenset({"predict", "batch", "explain", "feedback"})


class Traffic:
    """A thread that samples this process's counters; it writes only when something was asked."""

    def __init__(self, store: Path, problems: Sequence[str], metrics: Metrics) -> None:
        self._store = store
        self._problems = tuple(problems)
        self._metrics = metrics
        self._worker = f"{socket.gethostname()}-{os.getpid()}-{uuid4().hex[:6]}"
        self._samples: list[Sample] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample_forever, name="traffic", daemon=True)

    def start(self) -> None:
        """Begin with nothing answered."""
        self._samples = [Sample(time.time(), {})]
        self._thread.start()

    def stop(self) -> None:
        """Leave the last counts."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
            self.leave()

    def leave(self) -> None:
        """Take a sample now; written when it differs from the last one."""
        counts = self._counts()
        if counts == self._samples[-1].counts:
            return
        now = time.time()
        if len(self._samples) > 1 and now - self._samples[-1].at > SAMPLE_SECONDS:
            # Nothing was asked since: what follows happened after this moment, not over it.
            self._samples.append(Sample(now - SAMPLE_SECONDS, self._samples[-1].counts))
        self._samples.append(Sample(now, counts))
        oldest = now - LONGEST_WINDOW_SECONDS
        self._samples = [s for s in self._samples[:-1] if s.at >= oldest] + self._samples[-1:]
        try:
            leave_samples(self._store, self._worker, self._samples)
        except OSError as error:
            logger.warning("counts of answers cannot be left for the loop: {}", error.strerror)

    def _counts(self) -> Counts:
        found: dict[str, tuple[int, int]] = {}
        for route, status, n in self._metrics.answered():
            if route.rpartition("/")[2] not in ANSWERING:
                continue
            problem = self._problem(route)
            n_requests, n_errors = found.get(problem, (0, 0))
            found[problem] = (n_requests + n, n_errors + (n if status >= 500 else 0))
        return found

    def _problem(self, route: str) -> str:
        parts = route.split("/")
        return parts[2] if parts[1:2] == ["problems"] and len(parts) > 3 else self._problems[0]

    def _sample_forever(self) -> None:
        while not self._stop.wait(SAMPLE_SECONDS):
            self.leave()
