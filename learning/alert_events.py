"""The names under which what was told is announced to other programs."""

from __future__ import annotations

from learning.alert import CLOSES, Phase

PREFIX = "perennial"
# What lasts: of each, the subject whose opening, worsening and closing are announced.
SUBJECTS = {
    "drift_found": "drift",
    "performance_below_floor": "performance",
    "failed": "flow",
    "source_failed": "source",
    "circuit_open": "circuit",
    "errors_high": "errors",
    "champion_damaged": "champion",
}
EVENTS = {
    "first_champion": "model.promoted",
    "promoted": "model.promoted",
    "challenger_refused": "model.refused",
    "challenger_waits": "model.waiting",
    "rolled_back": "rollback",
    "bundle_refused": "bundle.refused",
    "retrain_started": "retrain.started",
    "batch_ingested": "batch.ingested",
    "batch_refused": "batch.refused",
}


def event_name(kind: str, phase: Phase) -> str:
    """The name of the event: ``perennial.drift.opened``, ``perennial.model.promoted`` …

    An incident's event ends in its phase: opened, worse, still_open or closed. A kind that is not
    listed keeps its own name.
    """
    subject = SUBJECTS.get(CLOSES.get(kind, kind))
    if subject is not None:
        return f"{PREFIX}.{subject}.{phase}"
    return f"{PREFIX}.{EVENTS.get(kind, kind)}"
