"""What a run is called at its end."""

from __future__ import annotations

from typing import Any

import pytest

from flows.run_name import LONGEST, run_name

INBOX = {"inbox": {"rows": 1200, "quarantined": 3}, "shop": {"rows": 0, "failed": "no answer"}}
PROMOTED = {"outcome": "promoted", "version": 4}


@pytest.mark.parametrize(
    ("flow", "facts", "name"),
    [
        ("monitor", {"features_drifted": "3 of 21", "live_performance": "auc 0.912"},
         "monitor churn · 3 of 21 features drifted, auc 0.912"),
        ("monitor", {"drift": "no champion yet"}, "monitor churn · no champion yet"),
        ("monitor", {"drift": "not testable"}, "monitor churn · drift not testable"),
        ("ingest", INBOX, "ingest churn · 1,200 rows, 3 quarantined, 1 of the sources failed"),
        ("ingest", {"inbox": {"rows": 0, "quarantined": 0, "refused": ["a.csv: no"]}, "mended": 1},
         "ingest churn · 1 refused"),
        ("ingest", {}, "ingest churn · nothing new"),
        ("continual", {"ingested": INBOX, "features_drifted": "0 of 4", "challenger": PROMOTED},
         "continual churn · 1,200 rows, 3 quarantined, 1 of the sources failed, "
         "0 of 4 features drifted, version 4 promoted"),
        ("continual", {"ingested": {}, "retrain": False}, "continual churn · nothing new"),
        ("retrain", {"outcome": "refused", "reason": "these rows cannot train a model"},
         "retrain churn · refused"),
        ("retrain", {"outcome": "rolled_back_to", "version": 2},
         "retrain churn · version 2 rolled back to"),
        ("publish", {"version": "3", "generation": 5}, "publish churn · version 3 is served"),
        ("publish", {"version": None}, "publish churn · nothing to serve yet"),
        ("maintain", {"files_merged": 3, "files_removed": 0}, "maintain churn · 3 files merged"),
        ("continual", {"skipped": "busy"}, "continual churn · skipped"),
        ("replay", {"best": "every:1000", "rows": 4000},
         "replay churn · every:1000 did best, over 4,000 rows"),
        ("unknown", {"anything": 1}, "unknown churn · done"),
    ],
)  # fmt: skip
def test_a_run_is_named_after_what_it_found(flow: str, facts: dict[str, Any], name: str) -> None:
    assert run_name(flow, {"churn": facts}, ["churn"]) == name


def test_several_problems_have_a_headline_each_and_one_without_a_result_failed() -> None:
    results = {"credit": {"version": "7"}}
    name = run_name("publish", results, ["churn", "credit"])
    assert name == "publish · churn: failed; credit: version 7 is served"


def test_a_name_stays_short() -> None:
    problems = [f"problem-{number}" for number in range(30)]
    name = run_name("ingest", {}, problems)
    assert len(name) == LONGEST
    assert name.endswith("…")
