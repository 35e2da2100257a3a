"""Backups that fit together, made while others write, and put back whole or not at all."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path

import pytest
from pydantic import SecretStr

from operate import backup as backup_module
from operate.backup import make_backup, restore
from operate.history import read_history, verify
from settings import Settings
from storage import observations as obs
from storage.backup import HOME, MANIFEST, BackupError
from storage.bundles import read_bundle
from storage.database import open_engine
from storage.pointers import Acknowledgement, acknowledge, read_pointer
from storage.predictions import store_records
from storage.records import PredictionRecord
from storage.tables import leases, predictions, releases
from tasks.reconcile import reconcile
from tests.factories import START, bootstrap, drop, rows_of, small_rows, small_run, small_settings
from tests.factories import tick as turn
from tests.factories_releases import release_next


@pytest.fixture(scope="module")
def copied(tmp_path_factory: pytest.TempPathFactory) -> tuple[Settings, Path]:
    """A home with a champion, and its backup, made while predictions were stored."""
    settings = small_settings(tmp_path_factory.mktemp("lived"))
    bootstrap(settings)
    journal = settings.home / "journal"
    journal.mkdir()
    (journal / "1.seg").write_bytes(b"not drained")
    for name in ("logs", "serving"):
        (settings.home / name).mkdir()
        (settings.home / name / "x").write_text("made anew")
    target = tmp_path_factory.mktemp("backups") / "one"
    stop = threading.Event()
    began = threading.Event()

    def predict() -> None:
        engine = open_engine(settings.sql_url)
        number = 0
        while not stop.is_set():
            name = f"p{number}"
            record = PredictionRecord(
                "small", name, "1", None, START, [1.0, 2.0, "pro"], "no", [0.8, 0.2], b"{}", START
            )
            store_records(engine, [record])
            number += 1
            began.set()
        engine.dispose()

    thread = threading.Thread(target=predict)
    thread.start()
    try:
        assert began.wait(60)
        made = make_backup(settings, target, without_database=False)
    finally:
        stop.set()
        thread.join()
    assert made["served"] == {"small": "1"}
    assert made["head"] == verify(settings, None)["head"]
    return settings, target


def test_a_restored_home_goes_on_where_the_backup_was_made(
    copied: tuple[Settings, Path], tmp_path: Path
) -> None:
    lived, target = copied
    settings = small_settings(tmp_path / "home")
    shutil.rmtree(settings.home)
    done = restore(settings, target, is_forced=False)
    assert done["served"] == {"small": "1"}
    assert verify(settings, None) == {**verify(lived, None)}
    assert {row.holder for row in rows_of(settings, leases)} == {""}
    names = [row.prediction_id for row in rows_of(settings, predictions)]
    assert names == [f"p{number}" for number in range(len(names))]
    assert (settings.home / "journal" / "1.seg").read_bytes() == b"not drained"
    assert not (settings.home / "logs").exists()
    frames = [obs.read_observations(one.store, "small") for one in (lived, settings)]
    assert frames[0].equals(frames[1])
    pointer = read_pointer(settings.store, "small")
    assert pointer is not None
    read_bundle(settings.store, "small", pointer.bundle)
    (settings.home / "journal" / "1.seg").unlink()
    drop(settings, small_rows(400, 20), "more.csv")
    assert turn(settings, 420)["ingested"]["inbox"]["rows"] == 20
    assert read_history(settings, "small", 9)["reigns"][0]["version"] == 1


def test_a_home_that_is_not_empty_is_refused_or_moved_aside(
    copied: tuple[Settings, Path], tmp_path: Path
) -> None:
    settings = small_settings(tmp_path / "home")
    (settings.home / "mine").write_text("kept")
    with pytest.raises(BackupError, match="is not empty; --force moves"):
        restore(settings, copied[1], is_forced=False)
    done = restore(settings, copied[1], is_forced=True)
    aside = Path(done["moved_aside"][0])
    assert (aside / "mine").read_text() == "kept"
    assert read_pointer(settings.store, "small") is not None


def test_a_backup_that_is_not_whole_changes_nothing(
    copied: tuple[Settings, Path], tmp_path: Path
) -> None:
    settings = small_settings(tmp_path / "home")
    shutil.rmtree(settings.home)
    broken = tmp_path / "broken"
    shutil.copytree(copied[1], broken)
    database = broken / HOME / "perennial.db"
    content = bytearray(database.read_bytes())
    content[-1] ^= 1
    database.write_bytes(bytes(content))
    with pytest.raises(BackupError, match=r"1 files are missing, changed .*home/perennial.db"):
        restore(settings, broken, is_forced=False)
    (broken / MANIFEST).unlink()
    with pytest.raises(BackupError, match="expected a whole backup"):
        restore(settings, broken, is_forced=False)
    assert not settings.home.exists()


def test_a_server_must_be_stopped_first(copied: tuple[Settings, Path], tmp_path: Path) -> None:
    settings = small_settings(tmp_path / "home")
    acknowledge(settings.store, "small", Acknowledgement("w", 1, 1))
    with pytest.raises(BackupError, match="a server answers from"):
        restore(settings, copied[1], is_forced=True)


def test_a_backup_older_than_what_was_decided_since_is_a_start_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = small_settings(tmp_path / "home")
    release_next(settings)
    make_backup(settings, tmp_path / "copy", without_database=False)
    release_next(settings)
    monkeypatch.setattr(backup_module.registry, "newest_version", lambda *_: 2)
    done = restore(settings, tmp_path / "copy", is_forced=True)
    assert "MLflow knows version 2, the backup ends at 1" in done["notes"][1]
    with small_run(settings) as run:
        assert reconcile(run) == 0
    assert verify(settings, None)["ok"]
    assert release_next(settings).state == "promoted"
    served = [(row.generation, row.version, row.state) for row in rows_of(settings, releases)]
    assert served == [(1, 1, "promoted"), (2, 2, "promoted")]


def test_where_a_backup_cannot_be_made_it_says_why(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    small = small_settings(tmp_path / "home")
    with pytest.raises(BackupError, match="lies below what is copied"):
        make_backup(small, small.home / "copy", without_database=False)
    with pytest.raises(BackupError, match="not an empty folder"):
        make_backup(small, tmp_path, without_database=False)
    url = SecretStr("postgresql+psycopg://127.0.0.1:9/x")
    away = small.model_copy(update={"database_url": url})
    with pytest.raises(BackupError, match="pg_dump"):
        make_backup(away, tmp_path / "copy", without_database=False)
    monkeypatch.setattr(backup_module, "WAIT_SECONDS", 0.0)
    with small_run(small), pytest.raises(BackupError, match="a run is at work"):
        make_backup(small, tmp_path / "copy", without_database=False)
