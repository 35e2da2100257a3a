"""Model versions and what becomes of them."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import Engine

from storage import models
from storage.database import reading, writing

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def version(engine: Engine, run_id: str, state: str = "training") -> int:
    """A version in a state."""
    with writing(engine) as db:
        number = models.begin_version(db, "demo", run_id, NOW)
        models.update_version(db, "demo", number, state=state)
    return number


def states(engine: Engine) -> dict[int, str]:
    """State by version."""
    with reading(engine) as db:
        return {row.version: row.state for row in models.attempts(db, "demo", 99)}


def test_versions_are_numbered_from_one_per_problem(engine: Engine) -> None:
    assert [version(engine, "a"), version(engine, "b")] == [1, 2]
    with writing(engine) as db:
        assert models.begin_version(db, "another", "a", NOW) == 1


def test_crowning_archives_the_former_champion(engine: Engine) -> None:
    for run_id in "ab":
        version(engine, run_id, "challenger")
    with reading(engine) as db:
        assert models.champion(db, "demo") is None
    for number in (1, 2, 1):
        with writing(engine) as db:
            models.crown(db, "demo", number)
    assert states(engine) == {1: "champion", 2: "archived"}
    with reading(engine) as db:
        champion = models.champion(db, "demo")
    assert champion is not None
    assert champion.version == 1


def test_what_other_runs_left_before_a_release_is_given_up(engine: Engine) -> None:
    for place, state in enumerate(("training", "candidate", "challenger", "champion", "refused")):
        version(engine, f"dead-{place}", state)
    version(engine, "mine", "training")
    with writing(engine) as db:
        assert sorted(models.close_unfinished(db, "demo", "mine")) == [1, 2, 3]
    assert states(engine) == {
        1: "abandoned",
        2: "abandoned",
        3: "abandoned",
        4: "champion",
        5: "refused",
        6: "training",
    }


def test_the_newest_attempts_come_first(engine: Engine) -> None:
    for run_id in "abc":
        version(engine, run_id)
    with reading(engine) as db:
        assert [row.version for row in models.attempts(db, "demo", 2)] == [3, 2]
        assert models.find_version(db, "demo", 4) is None
