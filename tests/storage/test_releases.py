"""Releases: generations that only grow, acts on file, and what the table makes of them."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import IntegrityError

from storage import releases
from storage.database import reading, writing
from storage.pointers import Former, Pointer, read_pointer
from storage.releases import StaleReleaseError, begin_release, finish_release, point
from tests.api.servers import wait_until

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def begun(engine: Engine, version: int, at_least: int = 0, actor: str = "loop") -> int:
    """The generation of a release that has begun."""
    with writing(engine) as db:
        return begin_release(db, "demo", version, f"b{version}", actor, "why", NOW, at_least)


def pointed(store: Path, generation: int, version: int, actor: str = "loop") -> Pointer:
    """The pointer after a move."""
    target = Former(str(version), f"b{version}")
    return point(store, "demo", generation, target, "promoted", actor, "why")


def story(engine: Engine) -> list[tuple[int, int, str, str]]:
    """Generation, version, state and actor of each release, oldest first."""
    with reading(engine) as db:
        rows = releases.release_history(db, "demo", 99)
    return [(row.generation, row.version, row.state, row.actor) for row in reversed(rows)]


def imported(engine: Engine, store: Path) -> list[int]:
    """Generations of the acts that the table took over."""
    with writing(engine) as db:
        return [act.generation for act in releases.import_acts(db, store, "demo")]


def test_generations_only_grow_and_pass_the_pointers_own(engine: Engine) -> None:
    assert [begun(engine, 1), begun(engine, 2)] == [1, 2]
    assert begun(engine, 3, at_least=7) == 8
    assert begun(engine, 4, at_least=2) == 9


def is_waiting(engine: Engine) -> bool:
    """Whether some transaction waits for another."""
    with reading(engine) as db:
        waiting = db.execute(text("SELECT count(*) FROM pg_locks WHERE NOT granted"))
        return int(waiting.scalar_one()) > 0


def test_of_two_promotions_that_want_one_generation_the_table_takes_one(engine: Engine) -> None:
    if engine.dialect.name == "sqlite":
        pytest.skip("SQLite lets one writer in at a time")
    with engine.connect() as one, engine.connect() as two:
        args = ("loop", "why", NOW)
        assert begin_release(one, "demo", 1, "b1", *args) == 1
        failure: list[type] = []

        def second() -> None:
            try:
                begin_release(two, "demo", 2, "b2", *args)
            except IntegrityError as error:
                failure.append(type(error))

        thread = threading.Thread(target=second)
        thread.start()
        wait_until(lambda: is_waiting(engine))
        one.commit()
        thread.join()
        two.rollback()
    assert failure == [IntegrityError]


def test_of_many_pointers_at_once_one_wins_and_the_others_are_told(tmp_path: Path) -> None:
    outcomes: list[str] = []
    start = threading.Barrier(6)

    def move(version: int) -> None:
        start.wait()
        try:
            pointed(tmp_path, 1, version)
            outcomes.append(f"b{version}")
        except StaleReleaseError as error:
            outcomes.append(str(error)[:24])

    threads = [threading.Thread(target=move, args=(version,)) for version in range(1, 7)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    pointer = read_pointer(tmp_path, "demo")
    assert pointer is not None
    assert sorted(outcomes, reverse=True) == sorted(
        [pointer.bundle, *["demo: release 1 came too"] * 5], reverse=True
    )


def test_a_release_cannot_move_the_pointer_back(tmp_path: Path) -> None:
    pointed(tmp_path, 5, 2)
    with pytest.raises(StaleReleaseError, match=r"generation 5 .* is served"):
        pointed(tmp_path, 4, 1)
    pointer = read_pointer(tmp_path, "demo")
    assert pointer is not None
    assert (pointer.generation, pointer.version) == (5, "2")


def test_the_pointer_remembers_what_was_served_before_it(tmp_path: Path) -> None:
    for generation in range(1, 25):
        pointer = pointed(tmp_path, generation, generation)
    assert [former.version for former in pointer.former[:2]] == ["23", "22"]
    assert len(pointer.former) == releases.N_FORMER


def test_without_a_pointer_the_tables_memory_stands_in(tmp_path: Path) -> None:
    before = [Former("2", "b2"), Former("1", "b1")]
    target = Former("3", "b3")
    pointer = point(tmp_path, "demo", 3, target, "promoted", "loop", "why", before)
    assert list(pointer.former) == before


def test_an_act_without_database_is_imported_once(engine: Engine, tmp_path: Path) -> None:
    pointed(tmp_path, 1, 1, actor="anna by hand")
    assert imported(engine, tmp_path) == [1]
    assert imported(engine, tmp_path) == []
    assert story(engine) == [(1, 1, "promoted", "anna by hand")]


def test_an_act_that_the_table_knows_is_left_as_it_is(engine: Engine, tmp_path: Path) -> None:
    generation = begun(engine, 1)
    pointed(tmp_path, generation, 1)
    assert imported(engine, tmp_path) == []
    assert story(engine) == [(1, 1, "pending", "loop")]


def test_an_act_on_a_reserved_generation_takes_it_over(engine: Engine, tmp_path: Path) -> None:
    generation = begun(engine, 2)
    pointed(tmp_path, generation, 1, actor="anna by hand")
    assert imported(engine, tmp_path) == [1]
    assert story(engine) == [(1, 1, "promoted", "anna by hand")]


def test_a_torn_or_foreign_act_file_stops_nothing(engine: Engine, tmp_path: Path) -> None:
    pointed(tmp_path, 1, 1)
    folder = tmp_path / "releases" / "demo"
    (folder / "000000000002.json").write_text("{")
    (folder / "notes.json").write_text("{}")
    assert imported(engine, tmp_path) == [1]


def test_only_releases_that_were_carried_out_count_as_served(engine: Engine) -> None:
    for version, state in ((1, "promoted"), (2, "promoted"), (3, "refused")):
        generation = begun(engine, version)
        with writing(engine) as db:
            finish_release(db, "demo", generation, state)
    begun(engine, 4)
    with reading(engine) as db:
        newest = releases.newest_served(db, "demo")
        before = releases.served_before(db, "demo", 2)
        pending = releases.pending_releases(db, "demo")
    assert newest is not None
    assert newest.version == 2
    assert before == [Former("1", "b1")]
    assert [row.version for row in pending] == [4]
