"""Reconcile: what a person did with the database away, and files that somebody lost or tore."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from typing import Any

import pytest

from settings import Settings
from storage import releases as releases_module
from storage.bundles import bundle_folder
from storage.pointers import pointer_path, read_pointer
from storage.tables import alerts, models, releases
from tasks import release as release_module
from tasks.reconcile import reconcile
from tasks.rollback import roll_back
from tests.factories import rows_of, small_run
from tests.factories_releases import release_next, server
from tests.tasks.conftest import PowerCutError


def reconciled(settings: Settings) -> int:
    """How many things a run mended; the run after it must find nothing left to mend."""
    with small_run(settings) as run:
        mended = reconcile(run)
    with small_run(settings) as run:
        assert reconcile(run) == 0
    return mended


def served(settings: Settings) -> tuple[int, str]:
    """Generation and version that the pointer names."""
    pointer = read_pointer(settings.store, "small")
    assert pointer is not None
    return pointer.generation, pointer.version


def story(settings: Settings) -> list[tuple[int, int, str]]:
    """Generation, version and state of each release."""
    return [(row.generation, row.version, row.state) for row in rows_of(settings, releases)]


def champion(settings: Settings) -> list[int]:
    """Versions in state champion."""
    return [row.version for row in rows_of(settings, models) if row.state == "champion"]


def test_rollbacks_with_the_database_away_are_written_down_later(small_sql: Settings) -> None:
    for _ in range(3):
        release_next(small_sql)
    roll_back(small_sql.store, "small", None, "anna", "nonsense")
    roll_back(small_sql.store, "small", None, "ben", "still nonsense")
    assert reconciled(small_sql) == 2
    assert served(small_sql) == (5, "1")
    assert story(small_sql)[3:] == [(4, 2, "rolled_back_to"), (5, 1, "rolled_back_to")]
    assert champion(small_sql) == [1]
    told = rows_of(small_sql, alerts)[-1]
    assert told.title == "Rolled back: version 3 → 1"
    assert "ben" in told.text


def test_a_torn_pointer_is_set_aside_and_written_again(small: Settings) -> None:
    release_next(small)
    release_next(small)
    pointer_path(small.store, "small").write_bytes(b'{"problem": "sm')
    assert reconciled(small) == 2
    assert served(small) == (2, "2")
    pointer = read_pointer(small.store, "small")
    assert pointer is not None
    assert [former.version for former in pointer.former] == ["1"]
    assert pointer_path(small.store, "small").with_suffix(".damaged").exists()


def test_a_lost_pointer_is_written_again(small: Settings) -> None:
    release_next(small)
    pointer_path(small.store, "small").unlink()
    assert reconciled(small) == 1
    assert served(small) == (1, "1")


@pytest.mark.parametrize(
    ("owner", "name"),
    [
        (release_module, "point_back"),
        (releases_module, "move_pointer"),
    ],
    ids=["refused, nothing begun", "way back begun, pointer not moved"],
)
def test_a_crash_on_the_way_back_from_a_refusal_is_finished(
    small: Settings, monkeypatch: pytest.MonkeyPatch, owner: Any, name: str
) -> None:
    release_next(small)
    works, calls = getattr(owner, name), []
    fatal = 1 if name == "point_back" else 2

    def cut(*arguments: Any) -> Any:
        calls.append(1)
        if len(calls) == fatal:
            raise PowerCutError
        return works(*arguments)

    monkeypatch.setattr(owner, name, cut)
    with server(small.store, refuses="golden"), pytest.raises(PowerCutError):
        release_next(small)
    assert served(small) == (2, "2")
    assert reconciled(small) == 1
    assert served(small) == (3, "1")
    assert story(small) == [(1, 1, "promoted"), (2, 2, "refused"), (3, 1, "rolled_back_to")]
    assert champion(small) == [1]


def test_a_release_that_servers_refuse_after_the_crash_is_taken_back(
    small: Settings, cut_before: Callable[[object, str], None]
) -> None:
    release_next(small)
    cut_before(release_module, "wait_for_servers")
    with pytest.raises(PowerCutError):
        release_next(small)
    from storage.pointers import Acknowledgement, acknowledge

    acknowledge(small.store, "small", Acknowledgement("w", 2, 1, "load", "no memory"))
    with small_run(small) as run:
        reconcile(run)
    assert served(small) == (3, "1")
    assert [row.kind for row in rows_of(small, alerts)][-2:] == ["bundle_refused", "recovered"]


def test_a_release_whose_bundle_is_gone_is_closed(
    small: Settings, cut_before: Callable[[object, str], None]
) -> None:
    release_next(small)
    cut_before(release_module, "carry_out")
    with pytest.raises(PowerCutError):
        release_next(small)
    bundle = rows_of(small, releases)[-1].bundle
    shutil.rmtree(bundle_folder(small.store, "small", bundle))
    assert reconciled(small) == 2
    assert served(small) == (1, "1")
    assert story(small)[-1] == (2, 2, "refused")
    assert rows_of(small, models)[-1].state == "abandoned"


def test_a_good_bundle_that_is_gone_is_told_and_stops_nothing(small: Settings) -> None:
    release_next(small)
    shutil.rmtree(small.store / "bundles")
    pointer_path(small.store, "small").unlink()
    assert reconciled(small) == 0
    assert read_pointer(small.store, "small") is None
