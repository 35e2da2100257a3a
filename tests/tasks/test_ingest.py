"""Ingest from files and the generator: each row once, each refusal told, nothing half stored."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from flows.ingest import ingest_all
from settings import Settings
from storage import observations as obs
from storage.tables import alerts, batches, quarantine, schemas
from tasks import batch as batch_module
from tasks.ingest_inbox import inbox_folder
from tests.factories import (
    START,
    count,
    drop,
    rows_of,
    small_rows,
    small_run,
    small_settings,
)
from tests.tasks.conftest import PowerCutError


def ingest(settings: Settings) -> dict[str, Any]:
    """What each source gave in one run."""
    with small_run(settings) as run:
        return ingest_all(run)


def stored(settings: Settings) -> pd.DataFrame:
    """All observations."""
    return obs.read_observations(settings.store, "small")


def files(settings: Settings, folder: str) -> list[str]:
    """Names in a folder of the inbox."""
    path = inbox_folder(settings.home, "small") / folder
    return sorted(found.name for found in path.glob("*") if found.is_file())


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz", "a.parquet"])
def test_each_kind_of_file_is_ingested_and_put_aside(small: Settings, name: str) -> None:
    drop(small, small_rows(0, 30), name)
    assert ingest(small) == {"inbox": {"rows": 30, "quarantined": 0}}
    assert (files(small, "."), files(small, "done")) == ([], [name])
    frame = stored(small)
    assert list(frame[obs.KEY])[:2] == ["row-000000", "row-000001"]
    assert frame[obs.EVENT_TIME][0] == pd.Timestamp(START)
    assert set(frame[obs.LABEL]) == {"no", "yes"}


def test_a_file_under_another_name_adds_nothing(small_sql: Settings) -> None:
    drop(small_sql, small_rows(0, 30), "a.csv")
    ingest(small_sql)
    drop(small_sql, small_rows(0, 30), "b.csv")
    assert ingest(small_sql) == {"inbox": {"rows": 0, "quarantined": 0}}
    assert files(small_sql, "done") == ["a.csv", "b.csv"]
    assert len(stored(small_sql)) == 30
    assert count(small_sql, batches) == 1


def test_a_file_of_a_name_that_is_taken_is_kept_beside_it(small: Settings) -> None:
    for first in (0, 30):
        drop(small, small_rows(first, 30), "a.csv")
        ingest(small)
    assert files(small, "done") == ["2-a.csv", "a.csv"]


def write(settings: Settings, name: str, content: bytes) -> None:
    """A file of these bytes in the inbox."""
    drop(settings, small_rows(0, 1), "made-the-folder.csv").unlink()
    (inbox_folder(settings.home, "small") / name).write_bytes(content)


GOOD = small_rows(0, 30)
BROKEN = {
    "column 'x2' is missing": GOOD.rename(columns={"x2": "x two"}).to_csv(index=False).encode(),
    "found 2 fields, too few": GOOD.to_csv(index=False).encode() + b"1,2\n",
    "is not UTF-8": GOOD.assign(plan="größe").to_csv(index=False).encode("latin-1"),
    "the file is empty": b"",
    "no rows below it": GOOD.head(0).to_csv(index=False).encode(),
    "max_bad_share": GOOD.assign(label="maybe").to_csv(index=False).encode(),
    "found gzip data": gzip.compress(GOOD.to_csv(index=False).encode(), mtime=0),
}


@pytest.mark.parametrize("reason", list(BROKEN))
def test_a_broken_file_is_refused_with_its_reason_and_stores_nothing(
    small: Settings, reason: str
) -> None:
    write(small, "bad.csv", BROKEN[reason])
    result = ingest(small)
    assert reason in result["inbox"]["refused"][0]
    assert (files(small, "."), files(small, "refused")) == ([], ["bad.csv"])
    assert stored(small).empty
    (row,) = rows_of(small, batches)
    assert (row.state, reason in row.reason) == ("refused", True)
    assert [row.kind for row in rows_of(small, alerts)] == ["batch_refused"]
    assert count(small, quarantine) == 0


def test_a_truncated_parquet_file_is_refused(small: Settings) -> None:
    path = drop(small, GOOD, "cut.parquet")
    path.write_bytes(path.read_bytes()[:-200])
    assert "no readable Parquet" in ingest(small)["inbox"]["refused"][0]


def test_a_refused_file_stays_refused_until_what_was_wrong_is_mended(tmp_path: Path) -> None:
    home = tmp_path / "home"
    strict = small_settings(home, max_bad_share=0.0)
    frame = GOOD.assign(x2=["oops", *GOOD["x2"][1:]])
    for _ in range(2):
        drop(strict, frame, "a.csv")
        assert "refused" in ingest(strict)["inbox"]
    assert files(strict, "refused") == ["2-a.csv", "a.csv"]
    mild = small_settings(home, max_bad_share=0.5)
    drop(mild, frame, "a.csv")
    assert ingest(mild)["inbox"] == {"rows": 29, "quarantined": 1}
    assert [row.state for row in rows_of(mild, batches)] == ["ingested"]


def test_one_broken_file_does_not_keep_the_others_out(small: Settings) -> None:
    write(small, "1-bad.csv", b"")
    drop(small, GOOD, "2-good.csv")
    result = ingest(small)["inbox"]
    assert (result["rows"], len(result["refused"])) == (30, 1)


def test_bad_rows_are_quarantined_with_their_reasons(small_sql: Settings) -> None:
    frame = GOOD.astype({"x2": object})
    frame.loc[3, "x2"] = "warm"
    frame.loc[5, "Air temperature [K]"] = -1.0
    drop(small_sql, frame, "a.csv")
    assert ingest(small_sql)["inbox"] == {"rows": 28, "quarantined": 2}
    rows = {row.row_number: row for row in rows_of(small_sql, quarantine)}
    assert rows[4].quarantine_reason == "x2: not a number"
    assert rows[6].quarantine_reason == "Air temperature [K]: below 0"
    assert rows[4].row["x2"] == "warm"
    assert [row.kind for row in rows_of(small_sql, alerts)] == ["batch_ingested"]


@pytest.mark.parametrize("moment", ["append_batch", "record_batch", "set_aside"])
def test_a_crash_at_any_moment_stores_each_row_and_tells_of_it_once(
    small: Settings, cut_before: Callable[[object, str], None], moment: str
) -> None:
    from tasks import ingest_inbox as ingest_module

    owner = {"append_batch": batch_module, "record_batch": batch_module.batches}
    frame = GOOD.astype({"x2": object})
    frame.loc[3, "x2"] = "warm"
    drop(small, frame, "a.csv")
    cut_before(owner.get(moment, ingest_module), moment)
    with pytest.raises(PowerCutError):
        ingest(small)
    ingest(small)
    assert len(stored(small)) == 29
    assert [(row.n_rows, row.n_quarantined) for row in rows_of(small, batches)] == [(29, 1)]
    assert count(small, quarantine) == 1
    told = [row.kind for row in rows_of(small, alerts)]
    assert told.count("batch_ingested") == 1
    assert files(small, "done") == ["a.csv"]


def test_hidden_files_folders_and_other_kinds_are_left_alone(small: Settings) -> None:
    for name in (".partial.csv", "notes.txt"):
        write(small, name, b"x")
    (inbox_folder(small.home, "small") / "folder.csv").mkdir()
    assert ingest(small) == {}
    assert files(small, ".") == [".partial.csv", "notes.txt"]


def test_a_file_that_is_still_being_written_waits(
    small: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = drop(small, GOOD, "a.csv")
    read = Path.read_bytes

    def read_while_it_grows(self: Path) -> bytes:
        content = read(self)
        if self == path:
            path.write_bytes(content + b"more\n")
        return content

    monkeypatch.setattr(Path, "read_bytes", read_while_it_grows)
    assert ingest(small) == {}
    monkeypatch.undo()
    assert files(small, ".") == ["a.csv"]


def test_the_generator_goes_on_where_it_stopped(tmp_path: Path) -> None:
    settings = small_settings(tmp_path / "home", **GENERATED)
    assert ingest(settings) == {"generator": {"rows": 60, "quarantined": 0}}
    assert ingest(settings) == {"generator": {"rows": 20, "quarantined": 0}}
    assert list(stored(settings)[obs.KEY])[58:62] == [f"row-{n:08d}" for n in range(58, 62)]


GENERATED: dict[str, Any] = {
    "features": [{"name": f"x{place}"} for place in range(1, 9)],
    "classes": ["0", "1"],
    "sources": ["generator"],
    "generator": {"name": "linear", "bootstrap_rows": 60, "rows_per_run": 20},
}


def test_a_refused_first_batch_leaves_no_schema(tmp_path: Path) -> None:
    settings = small_settings(tmp_path / "home", features=[], max_bad_share=0.0)
    drop(settings, GOOD.assign(row_id=["twice", "twice", *GOOD["row_id"][2:]]), "a.csv")
    assert "refused" in ingest(settings)["inbox"]
    assert count(settings, schemas) == 0


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"performance": {"metric": "mae"}}, "performance.metric: found 'mae'; expected one of"),
        ({"slices": [{"by": "x2"}], "features": []}, "slices: 'x2' is a number; expected edges"),
    ],
)
def test_what_does_not_fit_the_task_is_refused_as_soon_as_the_task_is_known(
    tmp_path: Path, changes: dict[str, object], reason: str
) -> None:
    settings = small_settings(tmp_path / "home", task="auto", classes=[], **changes)
    drop(settings, small_rows(0, 60), "a.csv")
    assert reason in ingest(settings)["inbox"]["refused"][0]
    assert not (tmp_path / "home" / "store" / "observations").exists()
