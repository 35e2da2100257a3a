"""The replay benchmark's table is written after each stream, so from the first one on."""

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.replay_table import table

RESULTS = Path(__file__).resolve().parents[1] / "benchmarks" / "results"


def measured() -> dict[str, Any]:
    return dict(json.loads((RESULTS / "replay.json").read_text()))


@pytest.mark.parametrize(
    ("of_errors", "there", "not_there"),
    [(False, "in ROC AUC or accuracy (1 cells)", "% of an"), (True, "% of an error (1)", "ROC")],
)
def test_one_stream_is_enough_for_a_table(of_errors: bool, there: str, not_there: str) -> None:
    found = measured()
    streams = [one for one in found["streams"] if (one["task"] == "regression") is of_errors]

    lines = table({**found, "streams": streams[:1]}).splitlines()

    average = next(line for line in lines if line.startswith("- on average"))
    assert there in average
    assert not_there not in average


def test_the_page_is_what_its_numbers_say() -> None:
    assert (RESULTS / "replay.md").read_text() == table(measured())
