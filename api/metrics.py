"""What Prometheus sees of this process."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest

from api.fact_metrics import FactGauges
from api.live_figures import Figure
from api.request_metrics import RequestMetrics
from api.shared_metrics import SharedMetrics
from storage.values import Facts

# Fields of a Figure; of each of them a gauge.
LIVE = {
    "labels": "Number",
    "accuracy": "Accuracy",
    "auc": "Area under the ROC curve",
    "mean_absolute_error": "Mean absolute error",
}


class Metrics:
    """The counters and gauges, in a registry of their own."""

    def __init__(self, shared: Path | None = None) -> None:
        """Create them; ``shared`` is a folder where the workers of one server add theirs up."""
        self.registry = CollectorRegistry(auto_describe=True)
        self._requests = RequestMetrics()
        self.registry.register(self._requests)
        self.observe = self._requests.observe
        self.answered = self._requests.answered
        self._predictions = self._counter(
            "predictions", "Predictions, by class.", "problem", "prediction"
        )
        self._model = self._gauge("model_info", "The version that answers.", "problem", "version")
        self._swaps = self._counter("swaps", "Models taken into service.")
        self._refusals = self._counter("refusals", "Bundles refused, by cause.", "code")
        self._backlog = self._gauge("journal_backlog_rows", "Rows not in SQL yet.")
        self._oldest = self._gauge("journal_oldest_seconds", "Age of the oldest row not in SQL.")
        self._facts = FactGauges(self.registry)
        self._live = {
            name: self._gauge(f"live_{name}", f"{text} of the newest labels.", "problem", "version")
            for name, text in LIVE.items()
        }
        self._classes: dict[tuple[str, str], Counter] = {}
        self._versions: dict[str, str] = {}
        self._shared = SharedMetrics(shared, self.registry) if shared else None

    def start(self) -> None:
        """Begin to tell sibling workers."""
        if self._shared is not None:
            self._shared.start()

    def stop(self) -> None:
        """Tell them a last time."""
        if self._shared is not None:
            self._shared.stop()

    def waiting(self, n_backlog: int, oldest_seconds: float) -> None:
        """Say what SQL does not have yet."""
        self._backlog.set(n_backlog)
        self._oldest.set(oldest_seconds)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"perennial_{name}", text, labels, registry=self.registry)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(f"perennial_{name}", text, labels, registry=self.registry)

    def predicted(self, problem: str, prediction: str, n_rows: int = 1) -> None:
        """Count new predictions; ``prediction`` is a class, or ``value``."""
        counter = self._classes.get((problem, prediction))
        if counter is None:
            counter = self._predictions.labels(problem, prediction)
            self._classes[problem, prediction] = counter
        counter.inc(n_rows)

    def swapped(self, problem: str, version: str) -> None:
        """Say which version answers from now on."""
        before = self._versions.get(problem)
        if before is not None and before != version:
            self._model.remove(problem, before)
        self._versions[problem] = version
        self._model.labels(problem, version).set(1)
        self._swaps.inc()

    def refused(self, code: str) -> None:
        """Count one refused bundle."""
        self._refusals.labels(code).inc()

    def labelled(self, found: Mapping[str, Sequence[Figure]]) -> None:
        """Say how well each problem's newest labelled predictions were."""
        for name, gauge in self._live.items():
            gauge.clear()  # a version that is labelled no more is gone
            for problem, figures in found.items():
                for figure in figures:
                    value = getattr(figure, name)
                    if value is not None:
                        gauge.labels(problem, figure.version).set(value)

    def text(self, n_backlog: int, oldest_seconds: float, facts: Mapping[str, Facts]) -> bytes:
        """The exposition, with what is only known when asked."""
        self.waiting(n_backlog, oldest_seconds)
        self._facts.show(facts)
        return self._shared.text() if self._shared else generate_latest(self.registry)
