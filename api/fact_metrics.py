"""Gauges of what the loop last wrote: runs, drift, live performance, versions, quarantine."""

from __future__ import annotations

import time
from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Gauge

from storage.values import Facts

# Of each field of `Facts`: the gauge that shows it, and what it says.
PLAIN = {
    "drift_share": ("drift_share", "Share of drifted features."),
    "is_drifted": ("drift_open", "1 while the newest check found drift."),
    "is_below_floor": ("live_below_floor", "1 while the loop finds live performance too low."),
    "live_rows": ("live_metric_rows", "Labelled predictions that the live metric rests on."),
    "age_limit_seconds": ("model_age_limit_seconds", "Age at which the policy retrains."),
    "every_seconds": ("loop_every_seconds", "From one turn of the loop to the next."),
    "n_quarantined": ("quarantined_rows", "Refused rows that wait for a person."),
}
AGES = {
    "last_run_ended": ("last_run_age_seconds", "Since the last run ended."),
    "champion_trained": ("model_age_seconds", "Since the champion was trained."),
}
MEASURED = {
    "live_value": ("live_metric", "What the loop measured last."),
    "live_low": ("live_metric_low", "Lower end of its interval."),
    "live_high": ("live_metric_high", "Upper end of its interval."),
    "live_floor": ("live_metric_floor", "What it must not be worse than."),
}


class FactGauges:
    """The gauges, in a registry that is given."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def gauges(rows: Mapping[str, tuple[str, str]], *labels: str) -> list[tuple[str, Gauge]]:
            return [
                (field, Gauge(f"perennial_{name}", text, labels, registry=registry))
                for field, (name, text) in rows.items()
            ]

        self._plain = gauges(PLAIN, "problem")
        self._ages = gauges(AGES, "problem")
        self._measured = gauges(MEASURED, "problem", "metric")
        text = "Model versions, by what became of them."
        self._versions = Gauge("perennial_versions", text, ("problem", "state"), registry=registry)

    def show(self, facts: Mapping[str, Facts]) -> None:
        """Show these facts and nothing of earlier ones; what is not known has no number."""
        for _, gauge in (*self._plain, *self._ages, *self._measured):
            gauge.clear()
        self._versions.clear()
        for problem, fact in facts.items():
            for field, gauge in self._plain:
                if (value := getattr(fact, field)) is not None:
                    gauge.labels(problem).set(value)
            for field, gauge in self._ages:
                if (since := getattr(fact, field)) is not None:
                    gauge.labels(problem).set(max(0.0, time.time() - since))
            for field, gauge in self._measured:
                value = getattr(fact, field)
                if fact.live_metric is not None and value is not None:
                    gauge.labels(problem, fact.live_metric).set(value)
            for state, n_versions in fact.versions:
                self._versions.labels(problem, state).set(n_versions)
