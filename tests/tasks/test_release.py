"""Promotion: with servers that follow, refuse or are away, and with other hands at the pointer."""

from __future__ import annotations

import pytest

from settings import Settings
from storage import releases
from storage.leases import LeaseLostError
from storage.pointers import Former, read_pointer
from storage.tables import alerts, leases, models
from storage.tables import releases as table
from tasks import release as release_module
from tasks.release import promote
from tasks.rollback import roll_back
from tests.factories import count, rows_of, small_run
from tests.factories_releases import GO, passed, release_next, server


def served(settings: Settings) -> tuple[int, str]:
    """Generation and version that the pointer names."""
    pointer = read_pointer(settings.store, "small")
    assert pointer is not None
    return pointer.generation, pointer.version


def story(settings: Settings) -> list[tuple[int, int, str]]:
    """Generation, version and state of each release."""
    return [(row.generation, row.version, row.state) for row in rows_of(settings, table)]


def states(settings: Settings) -> list[str]:
    """States of the versions."""
    return [row.state for row in rows_of(settings, models)]


def test_without_servers_a_version_is_promoted_at_once(small_sql: Settings) -> None:
    assert release_next(small_sql).state == "promoted"
    assert release_next(small_sql).generation == 2
    assert served(small_sql) == (2, "2")
    assert story(small_sql) == [(1, 1, "promoted"), (2, 2, "promoted")]
    assert states(small_sql) == ["archived", "champion"]
    assert [row.kind for row in rows_of(small_sql, alerts)] == ["first_champion", "promoted"]


def test_a_server_that_follows_lets_the_promotion_finish(small: Settings) -> None:
    release_next(small)
    with server(small.store) as seen:
        assert release_next(small).state == "promoted"
        assert seen == [1, 2]


def test_a_refused_bundle_is_taken_back_and_told_of(small: Settings) -> None:
    release_next(small)
    with server(small.store, refuses="golden") as seen:
        released = release_next(small)
        assert released.state == "refused"
        assert released.reason == "a server refused the bundle: golden: as told"
    assert served(small) == (3, "1")
    assert story(small) == [(1, 1, "promoted"), (2, 2, "refused"), (3, 1, "rolled_back_to")]
    assert states(small) == ["champion", "refused"]
    assert [row.kind for row in rows_of(small, alerts)] == ["first_champion", "bundle_refused"]
    assert 2 in seen


def test_after_a_refusal_the_next_version_is_promoted_and_rolls_back_to_a_good_one(
    small: Settings,
) -> None:
    release_next(small)
    with server(small.store, refuses="golden"):
        release_next(small)
    assert release_next(small).state == "promoted"
    assert served(small) == (4, "3")
    with server(small.store, refuses="load"):
        release_next(small)
    assert served(small) == (6, "3")


def test_a_first_version_that_is_refused_leaves_nothing_to_go_back_to(small: Settings) -> None:
    with server(small.store, refuses="golden"):
        assert release_next(small).state == "refused"
        assert story(small) == [(1, 1, "refused")]
        assert release_next(small).state == "refused"
    # Neither of the two refused bundles was ever good, so neither is gone back to.
    assert [state for _, _, state in story(small)] == ["refused", "refused"]
    assert release_next(small).state == "promoted"
    assert served(small) == (3, "3")


def test_a_server_that_says_nothing_is_waited_for_and_then_counts_as_gone(
    small: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    from storage.pointers import Acknowledgement, acknowledge

    monkeypatch.setattr(release_module, "ACKNOWLEDGE_SECONDS", 0.2)
    acknowledge(small.store, "small", Acknowledgement("stuck", 0, 0))
    assert release_next(small).state == "promoted"


def test_a_version_does_not_take_over_what_a_person_chose_meanwhile(small: Settings) -> None:
    release_next(small)
    release_next(small)
    with small_run(small) as run:
        version = passed(run)
        roll_back(small.store, "small", None, "anna", "it answers nonsense")
        released = promote(run, version, GO)
    assert released.state == "refused"
    assert "version 1 was chosen by anna meanwhile" in released.reason
    assert served(small) == (3, "1")
    assert states(small)[-1] == "refused"
    assert rows_of(small, alerts)[-1].kind == "challenger_refused"


def test_of_a_promotion_and_a_rollback_at_once_the_later_is_told_so(
    small: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    release_next(small)
    release_next(small)
    point = releases.point

    def rolled_back_first(*arguments: object) -> object:
        monkeypatch.setattr(releases, "point", point)
        roll_back(small.store, "small", None, "anna", "now")
        return point(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(releases, "point", rolled_back_first)
    released = release_next(small)
    assert released.state == "refused"
    assert "came too late" in released.reason
    with small_run(small) as run:
        from tasks.reconcile import reconcile

        assert reconcile(run) == 1
    # The generation that the promotion had reserved is the rollback's now.
    assert story(small)[-1] == (3, 1, "rolled_back_to")
    assert states(small) == ["champion", "archived", "refused"]


def test_a_second_try_goes_on_with_the_release_that_the_first_began(
    small: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sqlalchemy.exc import OperationalError

    crown = release_module.crown
    tries: list[int] = []

    def crown_at_second_try(*arguments: object) -> None:
        tries.append(1)
        if len(tries) == 1:
            raise OperationalError("UPDATE", {}, Exception("database is locked"))
        crown(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(release_module, "crown", crown_at_second_try)
    assert release_next(small).state == "promoted"
    assert len(tries) == 2
    assert story(small) == [(1, 1, "promoted")]


def test_a_run_that_lost_its_lease_neither_promotes_nor_points(small: Settings) -> None:
    from sqlalchemy import update

    from storage.database import open_engine, writing

    def lose() -> None:
        engine = open_engine(small.sql_url)
        with writing(engine) as db:
            db.execute(update(leases).values(epoch=99))
        engine.dispose()

    def try_to_promote() -> None:
        with small_run(small) as run:
            version = passed(run)
            lose()
            promote(run, version, GO)

    with pytest.raises(LeaseLostError):
        try_to_promote()
    assert count(small, table) == 0
    assert read_pointer(small.store, "small") is None


def test_the_pointer_names_what_was_served_before(small: Settings) -> None:
    for _ in range(3):
        release_next(small)
    pointer = read_pointer(small.store, "small")
    assert pointer is not None
    assert [former.version for former in pointer.former] == ["2", "1"]
    assert isinstance(pointer.former[0], Former)
