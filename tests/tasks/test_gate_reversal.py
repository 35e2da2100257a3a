"""Feedback that says the opposite in one part of the rows, in a whole turn of the loop."""

from __future__ import annotations

import numpy as np
import pytest

from settings import Settings
from storage.tables import alerts, decisions, models
from tests.factories import rows_of, serve_rows, small_rows, small_settings, tick

EAGER = {
    "volume_rows": 50,
    "min_new_rows": 50,
    "cooldown": "0s",
    "on_drift": False,
    "on_performance": False,
}


@pytest.mark.parametrize("reversals", ["hold", "warn"])
def test_a_part_that_contradicts_is_named_and_waits_where_asked(
    championed: Settings, reversals: str
) -> None:
    settings = small_settings(championed.home, retrain=EAGER, trust={"reversals": reversals})
    rows = small_rows(400, 600)
    is_yes = (rows["label"] == "yes") != (rows["plan"] == "basic")
    serve_rows(settings, rows.assign(label=np.where(is_yes, "yes", "no")), "1")

    outcome = tick(settings, 1_000)["challenger"]["outcome"]

    gate = [row for row in rows_of(settings, decisions) if row.kind == "gate"][-1]
    check = next(one for one in gate.evidence["checks"] if one["name"] == "labels: reversal")
    assert "where plan is basic the labels of /feedback contradict champion 1" in check["text"]
    (told,) = [row for row in rows_of(settings, alerts) if row.kind == "labels_contradict"]
    assert told.severity == "warning"
    if reversals == "hold":
        assert (check["outcome"], outcome) == ("unsure", "inconclusive")
        assert "waits for you" in told.text
        assert [row.state for row in rows_of(settings, models)] == ["champion", "waiting"]
    else:
        assert check["outcome"] == "pass"
        assert "waits for you" not in told.text
