"""Rollback: which version is gone back to, and what there is to say when there is none."""

from __future__ import annotations

from pathlib import Path

import pytest

from storage.bundles import BundleError, bundle_folder
from storage.pointers import Former, pointer_path, read_pointer
from storage.releases import point
from tasks.rollback import RollbackError, roll_back
from tests.factories_bundles import write_version


def promote(store: Path, generation: int, version: int) -> str:
    """The bundle of a version that is served now."""
    bundle = write_version(store, version)
    point(store, "demo", generation, Former(str(version), bundle), "promoted", "loop", "won")
    return bundle


def back(store: Path, to: int | None = None) -> str:
    """The version that is served after a rollback."""
    return roll_back(store, "demo", to, "anna", "nonsense").version


def test_the_version_before_is_the_default_and_a_second_rollback_goes_further(
    tmp_path: Path,
) -> None:
    for number in (1, 2, 3):
        promote(tmp_path, number, number)
    assert [back(tmp_path), back(tmp_path)] == ["2", "1"]
    with pytest.raises(RollbackError, match="nothing was served before version 1; to serve 2"):
        back(tmp_path)
    pointer = read_pointer(tmp_path, "demo")
    assert pointer is not None
    assert (pointer.generation, pointer.actor, pointer.reason) == (5, "anna", "nonsense")


def test_a_version_promoted_after_a_rollback_goes_back_to_what_was_served(tmp_path: Path) -> None:
    promote(tmp_path, 1, 1)
    promote(tmp_path, 2, 2)
    back(tmp_path)
    promote(tmp_path, 4, 3)
    assert back(tmp_path) == "1"


def test_a_named_version_may_be_any_whose_bundle_is_there(tmp_path: Path) -> None:
    promote(tmp_path, 1, 1)
    promote(tmp_path, 2, 2)
    write_version(tmp_path, 7)
    assert back(tmp_path, to=7) == "7"
    assert back(tmp_path, to=2) == "2"
    with pytest.raises(RollbackError, match="version 2 is already served"):
        back(tmp_path, to=2)
    with pytest.raises(RollbackError, match="no bundle of version 9; versions served before: 7, 1"):
        back(tmp_path, to=9)


def test_a_damaged_bundle_is_not_gone_back_to(tmp_path: Path) -> None:
    bundle = promote(tmp_path, 1, 1)
    promote(tmp_path, 2, 2)
    (bundle_folder(tmp_path, "demo", bundle) / "model.onnx").write_bytes(b"torn")
    with pytest.raises(BundleError, match="another hash"):
        back(tmp_path)
    pointer = read_pointer(tmp_path, "demo")
    assert pointer is not None
    assert pointer.version == "2"


def test_without_anything_served_there_is_nothing_to_go_back_to(tmp_path: Path) -> None:
    with pytest.raises(RollbackError, match="nothing was ever promoted"):
        back(tmp_path)
    promote(tmp_path, 1, 1)
    with pytest.raises(RollbackError, match=r"nothing was served before version 1$"):
        back(tmp_path)


def test_a_torn_pointer_is_told_with_what_to_do(tmp_path: Path) -> None:
    promote(tmp_path, 1, 1)
    pointer_path(tmp_path, "demo").write_text("{")
    with pytest.raises(RollbackError, match="perennial run maintain"):
        back(tmp_path)
