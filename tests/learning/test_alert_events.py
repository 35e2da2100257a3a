"""The names under which alerts are announced."""

from __future__ import annotations

import pytest

from learning.alert import CLOSES, LASTING, Phase
from learning.alert_events import SUBJECTS, event_name


@pytest.mark.parametrize(
    ("kind", "phase", "name"),
    [
        ("drift_found", "opened", "perennial.drift.opened"),
        ("drift_found", "worse", "perennial.drift.worse"),
        ("drift_over", "closed", "perennial.drift.closed"),
        ("performance_recovered", "closed", "perennial.performance.closed"),
        ("failed", "opened", "perennial.flow.opened"),
        ("first_champion", "event", "perennial.model.promoted"),
        ("promoted", "event", "perennial.model.promoted"),
        ("challenger_refused", "event", "perennial.model.refused"),
        ("rolled_back", "event", "perennial.rollback"),
        ("something_new", "event", "perennial.something_new"),
    ],
)
def test_an_event_is_named_by_what_happened(kind: str, phase: Phase, name: str) -> None:
    assert event_name(kind, phase) == name


def test_each_incident_has_a_subject_and_what_closes_it_has_the_same() -> None:
    assert set(SUBJECTS) == LASTING
    for closing, opening in CLOSES.items():
        opened, closed = event_name(opening, "opened"), event_name(closing, "closed")
        assert opened.removesuffix("opened") == closed.removesuffix("closed")
