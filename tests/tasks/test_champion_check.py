"""A damaged champion: mended from its training, or told of once while the loop goes on."""

from __future__ import annotations

import shutil

from settings import Settings
from storage.bundles import MODEL, bundle_folder, read_bundle
from storage.pointers import read_pointer
from storage.tables import alerts
from tests.factories import drop, rows_of, small_rows, tick


def damage(settings: Settings) -> str:
    """Flip a bit of the served graph; the bundle's name."""
    pointer = read_pointer(settings.store, "small")
    assert pointer is not None
    path = bundle_folder(settings.store, "small", pointer.bundle) / MODEL
    content = bytearray(path.read_bytes())
    content[50] ^= 1
    path.write_bytes(bytes(content))
    return pointer.bundle


def test_a_damaged_champion_is_written_again_from_its_training(championed: Settings) -> None:
    name = damage(championed)
    assert "champion" not in tick(championed, 401)
    read_bundle(championed.store, "small", name)
    assert "champion_damaged" not in {row.kind for row in rows_of(championed, alerts)}


def test_one_that_cannot_be_mended_is_told_once_and_rows_are_taken_in(
    championed: Settings,
) -> None:
    kept = championed.home / "kept"
    damage(championed)
    shutil.move(championed.home / "training", kept)
    drop(championed, small_rows(400, 20), "more.csv")
    found = tick(championed, 420)
    assert found["ingested"]["inbox"]["rows"] == 20
    assert "another hash" in found["champion"]
    assert "champion" in tick(championed, 421)
    kinds = [row.kind for row in rows_of(championed, alerts)]
    assert (kinds.count("champion_damaged"), kinds.count("failed")) == (1, 0)
    shutil.move(kept, championed.home / "training")
    assert "champion" not in tick(championed, 422)
