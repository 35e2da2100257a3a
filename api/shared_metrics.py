"""Metrics of several workers as one: each leaves its numbers in a file, the asked one adds up."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from uuid import uuid4

import msgspec
from loguru import logger
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

LEAVE_SECONDS = 0.5
ALIVE_SECONDS = 3.0
# Gauges say how it is now, so only the living count. Of those not named here, which all workers
# know alike, the own value stands.
GAUGES: dict[str, Callable[[float, float], float]] = {
    "perennial_journal_backlog_rows": lambda one, other: one + other,
    "perennial_requests_in_flight": lambda one, other: one + other,
    "perennial_journal_oldest_seconds": max,
    "perennial_model_info": max,
}

Labels = tuple[tuple[str, str], ...]
Number = tuple[str, str, list[tuple[str, str]], float]


class SharedMetrics:
    """The numbers of this worker in a folder, and those of its siblings added to them.

    Counters of a worker that died stay, or the sums would fall; killed hard, it takes at most
    the last half second with it.
    """

    def __init__(self, folder: Path, registry: CollectorRegistry) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._own = folder / f"{os.getpid()}-{uuid4().hex[:6]}"
        self._registry = registry
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._leave_forever, name="metrics", daemon=True)

    def start(self) -> None:
        """Begin to leave the numbers twice a second."""
        self._thread.start()

    def stop(self) -> None:
        """Leave them once more; the file stays for those that go on."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        self.leave()

    def leave(self) -> None:
        """Write the own numbers now."""
        numbers: list[Number] = [
            (family.type, sample.name, list(sample.labels.items()), sample.value)
            for family in self._registry.collect()
            for sample in family.samples
        ]
        draft = self._own.with_suffix(".draft")
        try:
            draft.write_bytes(msgspec.msgpack.encode(numbers))
            draft.replace(self._own)
        except OSError as error:
            logger.warning("metrics cannot be left for other workers: {}", error.strerror)

    def text(self) -> bytes:
        """The exposition of all workers together."""
        registry = CollectorRegistry()
        registry.register(_Families(self._added()))
        return generate_latest(registry)

    def _leave_forever(self) -> None:
        while not self._stop.wait(LEAVE_SECONDS):
            self.leave()

    def _added(self) -> list[Metric]:
        families = list(self._registry.collect())
        known: dict[tuple[str, Labels], float] = {
            (sample.name, tuple(sample.labels.items())): sample.value
            for family in families
            for sample in family.samples
        }
        for kind, name, labels, value in self._of_siblings():
            key = (name, tuple(labels))
            add = GAUGES.get(name) if kind == "gauge" else (lambda one, other: one + other)
            if add is not None:
                known[key] = add(known[key], value) if key in known else value
        for family in families:
            family.samples = []
        for (name, pairs), value in known.items():
            family = next(f for f in families if _belongs(name, f))
            family.samples.append(Sample(name, dict(pairs), value))
        return families

    def _of_siblings(self) -> Iterator[Number]:
        for path in sorted(self._folder.iterdir()):
            if path == self._own or path.suffix == ".draft":
                continue
            with contextlib.suppress(OSError, msgspec.MsgspecError):
                is_alive = time.time() - path.stat().st_mtime < ALIVE_SECONDS
                for number in msgspec.msgpack.decode(path.read_bytes(), type=list[Number]):
                    if is_alive or number[0] != "gauge":
                        yield number


class _Families(Collector):
    def __init__(self, families: list[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families


def _belongs(name: str, family: Metric) -> bool:
    endings = {
        "counter": ("_total", "_created"),
        "histogram": ("_bucket", "_sum", "_count", "_created"),
    }
    return any(name == family.name + end for end in endings.get(family.type, ("",)))
