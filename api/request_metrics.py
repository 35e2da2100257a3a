"""Requests by route, counted where they are answered: the general counters cost more than that."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator

from prometheus_client.metrics_core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

BUCKETS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
NAMES = (*map(str, BUCKETS), "+Inf")


class Times:
    """How long the requests of one route took: how many up to each bound, and the sum."""

    __slots__ = ("counts", "seconds")

    def __init__(self) -> None:
        self.counts = [0] * len(NAMES)
        self.seconds = 0.0


class RequestMetrics(Collector):
    """Counts on one thread, the event loop's; may be read on any."""

    def __init__(self) -> None:
        self._answers: dict[tuple[str, int], int] = {}
        self._times: dict[str, Times] = {}

    def observe(self, route: str, status: int, seconds: float) -> None:
        """Count one answered request."""
        key = (route, status)
        self._answers[key] = self._answers.get(key, 0) + 1
        times = self._times.get(route)
        if times is None:
            times = self._times[route] = Times()
        times.counts[bisect_left(BUCKETS, seconds)] += 1
        times.seconds += seconds

    def answered(self) -> list[tuple[str, int, int]]:
        """Requests answered so far: route, status, how many."""
        return [(*key, n_answers) for key, n_answers in list(self._answers.items())]

    def collect(self) -> Iterator[Metric]:
        """The counter and the histogram."""
        answers = CounterMetricFamily(
            "perennial_requests", "Requests answered.", labels=("route", "status")
        )
        for route, status, n_answers in self.answered():
            answers.add_metric((route, str(status)), n_answers)
        yield answers
        seconds = HistogramMetricFamily(
            "perennial_request_seconds",
            "Time from a request's header to the end of its answer.",
            labels=("route",),
        )
        for route, times in list(self._times.items()):
            seconds.add_metric((route,), _cumulated(times.counts), times.seconds)
        yield seconds


def _cumulated(counts: list[int]) -> list[tuple[str, float]]:
    total = 0
    buckets: list[tuple[str, float]] = []
    for name, count in zip(NAMES, counts, strict=True):
        total += count
        buckets.append((name, total))
    return buckets
