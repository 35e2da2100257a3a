"""What maintenance takes away, and what it never does."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from deltalake import DeltaTable
from sqlalchemy import update

from settings import Settings
from storage import models as versions
from storage import observations as obs
from storage.bundles import bundle_folder
from storage.database import writing
from storage.pointers import pointer_path
from storage.tables import models
from tasks.collection import collect_bundles, remove_old_data
from tests.factories import drop, small_rows, small_run, tick
from tests.factories_bundles import write_version
from tests.factories_releases import passed, release_next


def aged(store: Path, name: str) -> str:
    """A bundle, made to look as if it stood there for years."""
    os.utime(bundle_folder(store, "small", name), (0, 0))
    return name


def collected(settings: Settings) -> int:
    """How many bundles a run removed."""
    with small_run(settings, flow="maintain") as run:
        return collect_bundles(run)


def test_only_what_was_never_served_is_removed_and_only_when_it_is_old(small: Settings) -> None:
    for _ in range(2):
        release_next(small)
    with small_run(small) as run:
        refused = passed(run)
        with run.commit() as db:
            versions.update_version(db, "small", refused, state="refused")
    folder = small.store / "bundles" / "small"
    names = {aged(small.store, path.name) for path in folder.iterdir()}
    young = write_version(small.store, 8, problem="small")
    orphan = aged(small.store, write_version(small.store, 9, problem="small"))
    assert collected(small) == 2
    left = {path.name for path in folder.iterdir()}
    assert young in left
    assert orphan not in left
    assert len(names & left) == 2
    assert collected(small) == 0


def test_a_version_that_waits_for_its_release_is_not_removed(small: Settings) -> None:
    with small_run(small) as run:
        passed(run)
        (path,) = (small.store / "bundles" / "small").iterdir()
        aged(small.store, path.name)
        assert collect_bundles(run) == 0


def test_nothing_is_removed_while_the_pointer_cannot_be_read(small: Settings) -> None:
    release_next(small)
    with small_run(small) as run:
        aged(small.store, write_version(small.store, 9, problem="small"))
        pointer_path(small.store, "small").write_text("{")
        assert collect_bundles(run) == 0


def test_the_rows_of_a_model_that_can_be_served_stay(championed: Settings) -> None:
    for number in range(3):
        drop(championed, small_rows(400 + 20 * number, 20), f"{number}.csv")
        tick(championed, 460 + number)
    before = obs.read_observations(championed.store, "small", 0)
    made_old(championed)
    with small_run(championed, flow="maintain") as run:
        assert obs.compact(run.store, "small") > 0
        made_old(championed)
        assert remove_old_data(run) == 3
        assert remove_old_data(run) == 0
    again = obs.read_observations(championed.store, "small", 0)
    assert again.equals(before)
    with pytest.raises(OSError, match=r".*"):
        obs.read_observations(championed.store, "small", 2)
    assert len(obs.read_observations(championed.store, "small")) == 460


def made_old(settings: Settings) -> None:
    """Make all that left the table look as if that was years ago."""
    folder = Path(obs.table_uri(settings.store, "small"))
    for path in (folder / "_delta_log").glob("*.json"):
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        for line in lines:
            if "remove" in line:
                line["remove"]["deletionTimestamp"] = 1
        path.write_text("\n".join(json.dumps(line) for line in lines))
    for path in folder.glob("*.parquet"):
        os.utime(path, (0, 0))


def test_a_table_that_would_forget_its_log_is_told_to_keep_it(
    championed: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = obs.table_uri(championed.store, "small")
    key = "delta.enableExpiredLogCleanup"
    assert DeltaTable(uri).metadata().configuration == {key: "false"}
    DeltaTable(uri).alter.set_table_properties({key: "true"})
    obs.remove_old_files(championed.store, "small", [], 720)
    assert DeltaTable(uri).metadata().configuration == {key: "false"}


def test_a_model_whose_bundle_is_gone_holds_no_rows(championed: Settings) -> None:
    with small_run(championed, flow="maintain") as run:
        with writing(run.engine) as db:
            db.execute(update(models).values(bundle="0" * 64))
        assert remove_old_data(run) == 0
