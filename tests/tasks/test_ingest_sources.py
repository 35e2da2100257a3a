"""Outside sources in the loop: each row once, whatever fails or dies, and the others go on."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import stamina
from deltalake import write_deltalake
from sqlalchemy import create_engine, text

from flows.ingest import ingest_all
from settings import Settings
from storage import observations as obs
from storage.database import open_engine, reading
from storage.source_positions import states
from storage.tables import alerts, batches, quarantine
from tasks.fetching import ATTEMPTS
from tests.factories import drop, rows_of, small_rows, small_run, small_settings
from tests.fakes.source_server import SourceServer, send, serving
from tests.tasks.conftest import PowerCutError


@pytest.fixture(autouse=True)
def impatient() -> Iterator[None]:
    """Tries again at once."""
    with stamina.set_testing(True, attempts=ATTEMPTS):
        yield


@pytest.fixture
def server() -> Iterator[SourceServer]:
    with serving() as started:
        yield started


def settings_of(home: Path, *sources: Any, **changes: Any) -> Settings:
    """A home whose small problem has these sources; local files are below ``home/data``."""
    (home / "data").mkdir(parents=True, exist_ok=True)
    return small_settings(home, sources=list(sources), **changes)


def ingest(settings: Settings) -> dict[str, Any]:
    with small_run(settings) as run:
        return ingest_all(run)


def stored(settings: Settings) -> pd.DataFrame:
    return obs.read_observations(settings.store, "small")


def keys(settings: Settings) -> list[int]:
    frame = stored(settings)
    return [] if frame.empty else [int(key.removeprefix("row-")) for key in frame[obs.KEY]]


def as_json(frame: pd.DataFrame) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = frame.assign(when=frame["when"].astype(str)).to_dict("records")
    return found


ROWS = small_rows(0, 60)
HTTP = {"kind": "http", "cursor": "when", "hosts": ["127.0.0.1"]}
SQL = {"kind": "sql", "url_env": "ROWS_URL", "query": "SELECT * FROM rows", "cursor": "when"}


def put_sql(url: str, frame: pd.DataFrame) -> None:
    """Add rows to a table of somebody else's."""
    engine = create_engine(url)
    frame.to_sql("rows", engine, if_exists="append", index=False)
    engine.dispose()


@pytest.mark.parametrize("kind", ["files", "sql", "http", "delta"])
def test_each_kind_brings_each_row_once_as_it_comes(
    tmp_path: Path, server: SourceServer, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    url = f"sqlite:///{tmp_path}/rows.db"
    monkeypatch.setenv("ROWS_URL", url)
    known = {
        "files": {"kind": "files", "url": "rows-*"},
        "sql": {**SQL, "page_rows": 7},
        "http": {**HTTP, "url": server.url},
        "delta": {"kind": "delta", "url": "table"},
    }
    settings = settings_of(tmp_path / "home", known[kind])
    folder = tmp_path / "home" / "data"
    shown = pd.DataFrame()
    for first, last in ((0, 25), (25, 60)):
        part = ROWS.iloc[first:last]
        shown = pd.concat([shown, part])
        server.answers = [send(as_json(shown))]
        put_sql(url, part)
        part.to_parquet(folder / f"rows-{first}.parquet")
        write_deltalake(folder / "table", part, mode="append")
        assert ingest(settings)[kind] == {"rows": last - first, "quarantined": 0}
        assert ingest(settings) == {}
    frame = stored(settings)
    assert list(frame[obs.KEY]) == list(ROWS["row_id"])
    assert list(frame[obs.EVENT_TIME]) == list(ROWS["when"])
    assert frame["x2"].tolist() == pytest.approx(ROWS["x2"].tolist())
    assert list(frame[obs.LABEL]) == list(ROWS["label"])
    assert set(frame[obs.SOURCE]) == {kind}


def test_each_kind_of_file_is_read(tmp_path: Path) -> None:
    settings = settings_of(tmp_path / "home", {"kind": "files", "url": "*/*"})
    folder = tmp_path / "home" / "data" / "deep"
    folder.mkdir()
    ROWS[:10].to_csv(folder / "1.csv", index=False)
    ROWS[10:20].to_csv(folder / "2.csv.gz", index=False)
    ROWS[20:30].to_parquet(folder / "3.parquet")
    ROWS[30:40].to_json(folder / "4.jsonl", orient="records", lines=True, date_format="iso")
    ROWS[40:50].to_json(folder / "5.jsonl.gz", orient="records", lines=True, date_format="iso")
    assert ingest(settings)["files"]["rows"] == 50
    assert keys(settings) == list(range(50))


def test_sources_are_merged_by_key_and_event_time_with_the_inbox(
    tmp_path: Path, server: SourceServer
) -> None:
    """Late and out of order, and some rows from two sources."""
    settings = settings_of(
        tmp_path / "home", "inbox", {**HTTP, "url": server.url}, {"kind": "files", "url": "*.csv"}
    )
    drop(settings, ROWS[40:50], "new.csv")
    server.answers = [send(as_json(ROWS[20:45]))]
    ROWS[:25].sample(frac=1, random_state=0).to_csv(tmp_path / "home/data/old.csv", index=False)
    found = ingest(settings)
    assert [found[name]["rows"] for name in ("inbox", "http", "files")] == [10, 20, 20]
    assert [found[name].get("repeated", 0) for name in ("inbox", "http", "files")] == [0, 5, 5]
    assert keys(settings) == list(range(50))
    assert stored(settings)[obs.EVENT_TIME].is_monotonic_increasing


def test_a_file_that_grew_is_read_again_and_a_refused_one_when_something_changed(
    tmp_path: Path,
) -> None:
    home = tmp_path / "home"
    strict = settings_of(home, {"kind": "files", "url": "*.csv"}, max_bad_share=0.0)
    path = home / "data" / "a.csv"
    ROWS[:10].to_csv(path, index=False)
    assert ingest(strict)["files"]["rows"] == 10
    ROWS[:15].assign(x2=["oops", *ROWS["x2"][1:15]]).to_csv(path, index=False)
    assert "max_bad_share" in ingest(strict)["files"]["refused"][0]
    assert ingest(strict) == {}
    mild = settings_of(home, {"kind": "files", "url": "*.csv"}, max_bad_share=0.5)
    assert ingest(mild)["files"] == {"rows": 5, "quarantined": 1, "repeated": 9}
    assert ingest(mild) == {}
    assert [row.kind for row in rows_of(mild, alerts)].count("batch_refused") == 1


MOMENTS = {
    "page fetched, not written": ("tasks.ingest_pages", "keep_page"),
    "page written": ("tasks.ingest_pages", "take_batch"),
    "checked, not appended": ("tasks.batch", "append_batch"),
    "appended, not noted": ("storage.batches", "record_batch"),
    "noted, position not moved": ("storage.source_positions", "move"),
    "position moved, alert not told": ("tasks.run", "post"),
}


@pytest.mark.parametrize(
    ("moment", "key"), [*((moment, None) for moment in MOMENTS), ("appended, not noted", "row_id")]
)
def test_a_crash_at_any_moment_neither_loses_nor_doubles_a_row(
    tmp_path: Path,
    server: SourceServer,
    cut_before: Callable[[object, str], None],
    moment: str,
    key: str | None,
) -> None:
    """Also where the source answers more the next time, and where no key tells rows apart."""
    settings = settings_of(tmp_path / "home", {**HTTP, "url": server.url}, key=key)
    sent = ROWS.astype({"x2": object})
    sent.loc[3, "x2"] = "warm"
    server.answers = [send(as_json(sent[:20])), send(as_json(sent))]
    module, name = MOMENTS[moment]
    cut_before(importlib.import_module(module), name)
    with pytest.raises(PowerCutError):
        ingest(settings)
    ingest(settings)
    ingest(settings)
    frame = stored(settings)
    assert sorted(frame[obs.EVENT_TIME]) == list(ROWS["when"].drop(3))
    assert sum(row.n_rows for row in rows_of(settings, batches)) == 59
    assert len(rows_of(settings, quarantine)) == 1
    assert list((settings.store / "pages").rglob("*.parquet")) == []


@pytest.mark.parametrize("owner", ["tasks.batch.append_batch", "storage.batches.record_batch"])
def test_a_crash_while_a_file_is_stored_doubles_nothing(
    tmp_path: Path, cut_before: Callable[[object, str], None], owner: str
) -> None:
    settings = settings_of(tmp_path / "home", {"kind": "files", "url": "*"}, key=None)
    ROWS.to_csv(tmp_path / "home/data/a.csv", index=False)
    module, _, name = owner.rpartition(".")
    cut_before(importlib.import_module(module), name)
    with pytest.raises(PowerCutError):
        ingest(settings)
    assert ingest(settings)["files"]["rows"] == 60
    assert ingest(settings) == {}
    assert len(stored(settings)) == 60


def test_a_source_that_fails_keeps_nobody_out_and_is_told_once(
    tmp_path: Path, server: SourceServer
) -> None:
    settings = settings_of(
        tmp_path / "home",
        SQL,
        {**HTTP, "url": server.url},
        {"kind": "files", "url": "*.csv"},
        {"kind": "files", "name": "outside", "url": "/etc/*.csv"},
    )
    server.answers = [send([], 500)]
    ROWS.to_csv(tmp_path / "home/data/a.csv", index=False)
    found = ingest(settings)
    assert found["files"]["rows"] == 60
    assert "ROWS_URL is not set" in found["sql"]["failed"]
    assert "the server answers 500" in found["http"]["failed"]
    assert "PERENNIAL_SOURCE_ROOTS" in found["outside"]["failed"]
    assert len(server.asked) == ATTEMPTS
    ingest(settings)
    told = [row.title for row in rows_of(settings, alerts) if row.kind == "source_failed"]
    assert told == ["Source sql failed", "Source http failed", "Source outside failed"]
    engine = open_engine(settings.sql_url)
    with reading(engine) as connection:
        known = states(connection, "small")
    engine.dispose()
    failing = {name for name, state in known.items() if "reason" in state}
    assert failing == {"sql", "http", "outside"}
    server.answers = [send(as_json(small_rows(60, 5)))]
    assert ingest(settings)["http"] == {"rows": 5, "quarantined": 0}
    told = [row.title for row in rows_of(settings, alerts) if row.kind == "source_recovered"]
    assert told == ["Source http recovered"]


def test_a_server_that_stumbles_is_asked_again_within_the_turn(
    tmp_path: Path, server: SourceServer
) -> None:
    settings = settings_of(tmp_path / "home", {**HTTP, "url": server.url})
    server.answers = [send([], 500), send([], 503), send(as_json(ROWS))]
    assert ingest(settings)["http"] == {"rows": 60, "quarantined": 0}
    assert "source_failed" not in {row.kind for row in rows_of(settings, alerts)}


def test_an_answer_that_is_no_table_is_a_failure_and_not_asked_again(
    tmp_path: Path, server: SourceServer
) -> None:
    settings = settings_of(tmp_path / "home", {**HTTP, "url": server.url})
    server.answers = [send(b"<html>", kind="text/html")]
    assert "a web page" in ingest(settings)["http"]["failed"]
    server.answers = [send([{"x": 1}])]
    assert "cursor 'when': no such column" in ingest(settings)["http"]["failed"]
    assert len(server.asked) == 2


def test_a_refused_page_waits_for_the_source_to_be_mended(
    tmp_path: Path, server: SourceServer
) -> None:
    settings = settings_of(tmp_path / "home", {**HTTP, "url": server.url})
    server.answers = [send(as_json(ROWS.drop(columns="x2")))]
    for _ in range(2):
        assert "column 'x2' is missing" in ingest(settings)["http"]["refused"][0]
    assert stored(settings).empty
    server.answers = [send(as_json(ROWS))]
    assert ingest(settings)["http"] == {"rows": 60, "quarantined": 0}
    assert len(stored(settings)) == 60


def test_another_table_that_was_compacted_brings_nothing_twice(tmp_path: Path) -> None:
    from deltalake import DeltaTable

    settings = settings_of(tmp_path / "home", {"kind": "delta", "url": "table"}, key=None)
    table = tmp_path / "home" / "data" / "table"
    for first in (0, 20):
        write_deltalake(table, ROWS[first : first + 20], mode="append")
    assert ingest(settings)["delta"]["rows"] == 40
    DeltaTable(table).optimize.compact()
    assert ingest(settings) == {}
    write_deltalake(table, ROWS[40:], mode="append")
    assert ingest(settings)["delta"]["rows"] == 20
    assert len(stored(settings)) == 60


def test_rows_of_postgresql_are_read_while_its_tables_stay_as_they_are(
    tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ROWS_URL", database_url)
    settings = settings_of(tmp_path / "home", {**SQL, "page_rows": 25})
    put_sql(database_url, ROWS)
    assert ingest(settings)["sql"] == {"rows": 60, "quarantined": 0}
    late = small_rows(60, 3).assign(when=ROWS["when"].iloc[-1])
    put_sql(database_url, late)
    assert ingest(settings)["sql"] == {"rows": 3, "quarantined": 0}
    assert ingest(settings) == {}
    assert keys(settings) == list(range(63))
    engine = create_engine(database_url)
    with engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM rows")).scalar_one() == 63
    engine.dispose()
