"""Over a hundred damaged files in one inbox: each refused by name or mended in a stated way."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from flows.ingest import ingest_all
from settings import Settings
from storage import observations as obs
from storage.tables import batches, quarantine
from tasks.ingest_inbox import inbox_folder
from tests.factories import rows_of, small_run, small_settings
from tests.tasks.damaged import FEATURES, Kept, Refused, plain, text
from tests.tasks.damaged_tables import cases

CASES = cases()


@dataclass(frozen=True)
class Outcome:
    """What one run made of all files, and what was stored before it."""

    settings: Settings
    before: pd.DataFrame
    after: pd.DataFrame
    result: dict[str, Any]
    batches: dict[str, Any]
    quarantine: list[Any]


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """A good file, then all damaged ones in one run."""
    settings = small_settings(tmp_path_factory.mktemp("damaged") / "home", features=FEATURES)
    inbox = inbox_folder(settings.home, "small")
    inbox.mkdir(parents=True)
    (inbox / "base.csv").write_text(text(plain("base")))
    with small_run(settings) as run:
        assert ingest_all(run)["inbox"] == {"rows": 24, "quarantined": 0}
    before = obs.read_observations(settings.store, "small")
    for name, content, _ in CASES.values():
        (inbox / name).write_bytes(content)
    with small_run(settings, row=60) as run:
        result = ingest_all(run)["inbox"]
    after = obs.read_observations(settings.store, "small")
    noted = {row.source.removeprefix("inbox/"): row for row in rows_of(settings, batches)}
    return Outcome(settings, before, after, result, noted, rows_of(settings, quarantine))


def test_there_are_enough_kinds() -> None:
    assert len(CASES) >= 100
    assert len({content for _, content, _ in CASES.values()}) == len(CASES)


@pytest.mark.parametrize("what", [name for name in CASES if isinstance(CASES[name][2], Refused)])
def test_a_file_is_refused_by_name_and_stores_nothing(outcome: Outcome, what: str) -> None:
    name, _, expected = CASES[what]
    assert isinstance(expected, Refused)
    batch = outcome.batches[name]
    assert batch.state == "refused"
    assert expected.reason in batch.reason
    assert not (outcome.after[obs.BATCH_ID] == batch.batch_id).any()
    assert not [row for row in outcome.quarantine if row.batch_id == batch.batch_id]
    assert (inbox_folder(outcome.settings.home, "small") / "refused" / name).exists()
    assert any(line.startswith(f"{name}: ") for line in outcome.result["refused"])


@pytest.mark.parametrize("what", [name for name in CASES if isinstance(CASES[name][2], Kept)])
def test_a_file_is_mended_or_its_bad_rows_kept_aside(outcome: Outcome, what: str) -> None:
    name, _, expected = CASES[what]
    assert isinstance(expected, Kept)
    batch = outcome.batches[name]
    assert batch.state == "ingested", batch.reason
    mine = outcome.after[outcome.after[obs.BATCH_ID] == batch.batch_id]
    rows = [row for row in outcome.quarantine if row.batch_id == batch.batch_id]
    assert Counter(row.quarantine_reason for row in rows) == Counter(expected.reasons)
    assert (len(mine), batch.n_rows) == (expected.n_rows, expected.n_rows)
    said = f"{expected.n_repeated} rows repeat a known key" if expected.n_repeated else None
    assert batch.reason == said
    if expected.column:
        found = mine.sort_values(obs.INGESTED_AT)[expected.column].reset_index(drop=True)
        wanted = pd.Series(expected.values, name=expected.column)
        pd.testing.assert_series_equal(
            found.astype(object), wanted.astype(object), check_names=False
        )


def test_nothing_that_was_stored_has_changed(outcome: Outcome) -> None:
    kept = outcome.after[outcome.after[obs.BATCH_ID] == outcome.before[obs.BATCH_ID][0]]
    pd.testing.assert_frame_equal(kept.reset_index(drop=True), outcome.before)
    assert outcome.batches["base.csv"].n_rows == 24


def test_what_is_bad_in_the_files_of_a_stranger_leaves_the_inbox_empty(outcome: Outcome) -> None:
    folder: Path = inbox_folder(outcome.settings.home, "small")
    assert [path.name for path in folder.iterdir() if path.is_file()] == []
    with small_run(outcome.settings, row=120) as run:
        assert ingest_all(run) == {}
