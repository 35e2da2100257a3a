"""The problem file in the ledger: entered once, and again when it changes."""

from __future__ import annotations

import json

from settings import Settings
from storage.tables import ledger
from tasks.policy import policy_of
from tests.factories import rows_of, small_problem, small_run, small_settings


def test_a_change_of_the_problem_file_is_an_act(small: Settings) -> None:
    for _ in range(2):
        with small_run(small):
            pass
    changed = small_settings(small.home, gate={"min_rows": 40})
    with small_run(changed):
        pass
    first, second = rows_of(small, ledger)
    assert (first.act, first.subject, first.reason) == (
        "policy changed",
        policy_of(small_problem())[0],
        "first seen",
    )
    assert (second.decided_by, second.reason) == ("person", "changed: gate.min_rows")
    assert json.loads(second.evidence)["problem"]["gate"]["min_rows"] == 40


def test_many_changes_are_counted(small: Settings) -> None:
    with small_run(small):
        pass
    drift = {"min_rows": 60}
    gate = {"min_rows": 40, "confidence": 0.9}
    windows = {
        "bootstrap_rows": 210,
        "current_rows": 110,
        "reference_rows": 210,
        "holdout_rows": 999,
    }
    search = {"folds": 2, "seed": 7, "budget_seconds": 6}
    changed = small_settings(small.home, drift=drift, gate=gate, windows=windows, search=search)
    with small_run(changed):
        pass
    assert rows_of(small, ledger)[1].reason.endswith(" more")
