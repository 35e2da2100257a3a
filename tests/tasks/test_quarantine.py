"""Released rows: through the rules of today, once, whatever kills the release half way."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from flows.ingest import ingest_all
from settings import Settings
from storage import observations as obs
from storage.quarantine import Selection
from storage.tables import batches, quarantine
from tasks import quarantine as quarantine_task
from tasks.quarantine import Released, release_rows
from tests.factories import START, drop, rows_of, small_rows, small_run, small_settings
from tests.tasks.conftest import PowerCutError

MINE = Selection("small")
FEATURES: list[dict[str, Any]] = [
    {"name": "Air temperature [K]", "minimum": 0},
    {"name": "x2"},
    {"name": "plan", "kind": "categorical", "categories": ["basic", "pro"]},
]


def quarantined(settings: Settings) -> Settings:
    """A home with 26 good rows; row 4 is cold, 6 a word, 8 of no class, 11 a double key."""
    frame = small_rows(0, 30).astype({"x2": object})
    frame.loc[3, "Air temperature [K]"] = -1.0
    frame.loc[5, "x2"] = "warm"
    frame.loc[7, "label"] = "maybe"
    frame.loc[10, "row_id"] = "row-000009"
    drop(settings, frame, "a.csv")
    with small_run(settings) as run:
        ingest_all(run)
    return settings


def release(settings: Settings, selection: Selection = MINE, **options: Any) -> Released:
    """What a release by Ann gave."""
    with small_run(settings) as run:
        return release_rows(run, selection, "ann", "thermometer mended", **options)


def stored(settings: Settings) -> pd.DataFrame:
    """All observations."""
    return obs.read_observations(settings.store, "small")


def states(settings: Settings) -> dict[int, str]:
    """State of each quarantined row by its number in the batch."""
    return {row.row_number: row.state for row in rows_of(settings, quarantine)}


def mend(settings: Settings, **cold: Any) -> Settings:
    """The same home after the problem file was mended."""
    url = settings.database_url and settings.database_url.get_secret_value()
    features = [{**FEATURES[0], **cold}, *FEATURES[1:]]
    return small_settings(settings.home, url, features=features)


def test_rows_that_the_rules_still_forbid_wait_on(small: Settings) -> None:
    found = release(quarantined(small))
    assert (found.n_released, found.n_repeated, found.n_waiting) == (0, 1, 3)
    assert ("x2: not a number", 1) in found.reasons
    assert states(small) == {4: "waiting", 6: "waiting", 8: "waiting", 11: "repeated"}
    assert len(stored(small)) == 26
    assert {row.released_by for row in rows_of(small, quarantine)} == {None, "ann"}


def test_after_the_file_was_mended_the_row_is_stored_once_with_who_when_and_why(
    small_sql: Settings,
) -> None:
    settings = mend(quarantined(small_sql), minimum=-5)
    assert release(settings).n_released == 1
    assert release(settings) == Released(0, 0, release(settings).reasons)
    frame = stored(settings)
    assert len(frame) == 27
    row = frame[frame[obs.KEY] == "row-000003"].iloc[0]
    assert row["Air temperature [K]"] == -1.0
    assert row[obs.EVENT_TIME] == pd.Timestamp(START) + pd.Timedelta(minutes=3)
    assert row[obs.SOURCE] == "inbox"
    kept = next(row for row in rows_of(settings, quarantine) if row.row_number == 4)
    assert (kept.state, kept.released_by, kept.release_reason) == (
        "released",
        "ann",
        "thermometer mended",
    )
    assert kept.released_at is not None
    noted = {row.batch_id: row for row in rows_of(settings, batches)}[kept.release_id]
    assert (noted.n_rows, noted.source) == (1, "inbox/a.csv")
    assert noted.reason == "released by ann: thermometer mended"


def test_as_is_overrules_ranges_and_is_refused_what_no_model_could_take(small: Settings) -> None:
    found = release(quarantined(small), is_as_is=True)
    assert (found.n_released, found.n_repeated, found.n_waiting) == (1, 1, 2)
    assert dict(found.reasons) == {
        "x2: not a number": 1,
        "label: not one of the known classes": 1,
    }


@pytest.mark.parametrize(
    ("selection", "number"),
    [
        (Selection("small", matching="BELOW 0"), 4),
        (Selection("small", ids=(1,)), 4),
        (Selection("small", batch="a.csv", matching="below"), 4),
        (Selection("small", batch="inbox/a.csv", ids=(1, 99)), 4),
        (Selection("small", batch="file:", ids=(1,)), 4),
    ],
)
def test_only_the_selected_rows_are_released(
    small: Settings, selection: Selection, number: int
) -> None:
    assert release(quarantined(small), selection, is_as_is=True).n_released == 1
    assert [row for row, state in states(small).items() if state == "released"] == [number]


@pytest.mark.parametrize("nothing", [{"batch": "b.csv"}, {"matching": "%"}, {"ids": (99,)}])
def test_a_selection_without_rows_releases_nothing(small: Settings, nothing: Any) -> None:
    found = release(quarantined(small), Selection("small", **nothing), is_as_is=True)
    assert found == Released()
    assert set(states(small).values()) == {"waiting"}


@pytest.mark.parametrize("moment", ["_judge", "append_rows", "settle", "_note"])
def test_a_release_that_was_killed_is_finished_by_the_next_run_once(
    small: Settings, cut_before: Callable[[object, str], None], moment: str
) -> None:
    quarantined(small)
    cut_before(quarantine_task, moment)
    with pytest.raises(PowerCutError):
        release(small, is_as_is=True)
    # The file changes between: what was decided and appended stays as it is.
    changed = mend(small, minimum=100 if moment == "_note" else -5)
    for _ in range(2):
        with small_run(changed) as run:
            ingest_all(run)
    assert states(small) == {4: "released", 6: "waiting", 8: "waiting", 11: "repeated"}
    assert (stored(small)[obs.KEY] == "row-000003").sum() == 1
    assert len(stored(small)) == 27
    assert [row.n_rows for row in rows_of(small, batches)] == [26, 1]


def test_a_file_that_asks_for_more_columns_keeps_old_rows_waiting(small: Settings) -> None:
    quarantined(small)
    more = small_settings(small.home, features=[*FEATURES, {"name": "humidity"}])
    found = release(more)
    assert found.n_waiting == 4
    assert "column 'humidity' is missing" in found.reasons[0][0]


def test_a_day_that_was_read_among_others_is_not_read_alone(tmp_path: Path) -> None:
    settings = small_settings(tmp_path / "home")
    days = [START + pd.Timedelta(days=day) for day in range(-29, 1)]
    frame = small_rows(0, 30).assign(when=[day.strftime("%d/%m/%Y") for day in days])
    frame.loc[8, "Air temperature [K]"] = -1.0  # 11/12/2025: the eleventh of December
    drop(settings, frame, "a.csv")
    with small_run(settings) as run:
        ingest_all(run)
    assert release(settings, is_as_is=True).n_released == 1
    row = stored(settings).set_index(obs.KEY).loc["row-000008"]
    assert row[obs.EVENT_TIME] == pd.Timestamp("2025-12-11", tz="UTC")


def test_without_an_event_time_a_row_keeps_the_time_of_its_arrival(tmp_path: Path) -> None:
    settings = quarantined(small_settings(tmp_path / "home", event_time=None, key=None))
    drop(settings, small_rows(30, 30), "b.csv")
    with small_run(settings, row=10) as run:
        ingest_all(run)
    with small_run(settings, row=20) as run:
        assert release_rows(run, Selection("small", ids=(1,)), "ann", "why", True).n_released == 1
    assert list(stored(settings)["Air temperature [K]"]).index(-1.0) == 3
