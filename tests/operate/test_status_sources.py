"""What the status says of sources and of labels that wait."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows.ingest import ingest_all
from operate.status import read_status
from operate.status_sources import source_lines
from settings import Settings
from tests.factories import drop, small_rows, small_run, small_settings


@pytest.fixture
def ingested(tmp_path: Path) -> Settings:
    """A home in which one source gave rows, one fails, one gave nothing, and labels wait."""
    home = tmp_path / "home"
    (home / "data").mkdir(parents=True)
    sql = {"kind": "sql", "url_env": "NOWHERE_URL", "query": "SELECT 1", "cursor": "id"}
    files = {"kind": "files", "url": "*.csv"}
    settings = small_settings(
        home, sources=["inbox", sql, files, {**files, "name": "none", "url": "*.x"}]
    )
    small_rows(0, 30).to_csv(home / "data" / "a.csv", index=False)
    drop(settings, small_rows(40, 3)[["row_id", "label"]], "labels.csv")
    with small_run(settings) as run:
        ingest_all(run)
    return settings


def test_sources_that_fail_or_gave_rows_and_labels_that_wait_are_told(ingested: Settings) -> None:
    (problem,) = read_status(ingested, "small")["problems"]
    assert list(problem["sources"]) == ["inbox", "sql", "files", "none"]
    assert problem["sources"]["files"]["moved_at"] is not None
    assert problem["sources"]["sql"]["failing_since"] is not None
    assert problem["waiting_labels"] == 3
    told = dict(source_lines(problem))
    assert list(told) == ["source sql", "source files", "labels"]
    assert "NOWHERE_URL is not set" in told["source sql"]
    assert told["labels"] == "3 wait for a row with their key"


def test_a_source_that_is_no_longer_listed_is_not_told(ingested: Settings) -> None:
    changed = small_settings(ingested.home)
    (problem,) = read_status(changed, "small")["problems"]
    assert list(problem["sources"]) == ["inbox", "feedback"]
    assert dict(source_lines(problem)).keys() == {"labels"}
