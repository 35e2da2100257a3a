"""The quarantine at rest: once each, found by what a person knows of them, bounded."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, select, update

from storage.database import reading, writing
from storage.quarantine import (
    Release,
    Selection,
    claim_rows,
    count_by_reason,
    count_rows,
    count_waiting,
    find_rows,
    keep_rows,
    settle,
    take_back,
    unfinished_releases,
)
from storage.quarantine_retention import trim
from storage.tables import quarantine

MINE = Selection("demo")
LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)


def keep(engine: Engine, n: int = 2, batch_id: str = "b", reason: str = "not a number") -> None:
    rows = [
        {"row_number": place + 1, "quarantine_reason": reason, "row": {"x": float("nan")}}
        for place in range(n)
    ]
    with writing(engine) as db:
        keep_rows(db, "demo", batch_id, rows)


def ids(engine: Engine, **narrowed: Any) -> list[int]:
    with reading(engine) as db:
        return [row.id for row in find_rows(db, Selection("demo", **narrowed))]


def claim(engine: Engine, release_id: str, batch_id: str = "b", **narrowed: Any) -> int:
    release = Release(release_id, "ann", "because", datetime.now(UTC))
    with writing(engine) as db:
        return claim_rows(db, Selection("demo", **narrowed), batch_id, release)


def test_quarantined_rows_are_kept_once_each(engine: Engine) -> None:
    for _ in range(2):
        keep(engine)
        keep(engine, 0)
    with reading(engine) as db:
        found = db.execute(select(quarantine.c.row_number, quarantine.c.row)).all()
    assert [tuple(row) for row in found] == [(1, {"x": None}), (2, {"x": None})]


def test_rows_are_counted_by_batch_and_reason(engine: Engine) -> None:
    keep(engine, 3)
    keep(engine, 2, "c", "100% wrong_name")
    with reading(engine) as db:
        found = [
            (row.batch_id, row.quarantine_reason, row.n_rows) for row in count_by_reason(db, MINE)
        ]
        assert found == [("b", "not a number", 3), ("c", "100% wrong_name", 2)]
        assert count_waiting(db, "demo") == 5
        assert count_waiting(db, "other") == 0
        assert count_rows(db, Selection("demo", matching="0% wrong_")) == 2
        assert count_rows(db, Selection("demo", matching="0_ wrong")) == 0


def test_a_portion_at_a_time_gives_every_row_in_order(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storage.quarantine.PORTION", 2)
    keep(engine, 5)
    assert ids(engine) == [1, 2, 3, 4, 5]
    with reading(engine) as db:
        assert [row.id for row in find_rows(db, MINE, limit=3)] == [1, 2, 3]


def test_a_row_is_claimed_once_and_may_be_taken_back(engine: Engine) -> None:
    keep(engine, 3)
    assert claim(engine, "one", ids=(1, 2)) == 2
    assert claim(engine, "two") == 1
    assert claim(engine, "three") == 0
    with writing(engine) as db:
        assert unfinished_releases(db, "demo") == ["one", "two"]
        settle(db, [1, 2], "released")
        take_back(db, {3: "still wrong"})
        assert unfinished_releases(db, "demo") == []
        (row,) = find_rows(db, MINE)
    assert (row.id, row.quarantine_reason, row.released_by) == (3, "still wrong", None)


def test_the_oldest_go_first_and_released_ones_before_any_that_wait(engine: Engine) -> None:
    keep(engine, 5)
    claim(engine, "one", ids=(5,))
    with writing(engine) as db:
        settle(db, [5], "released")
        assert trim(db, "demo", 4, LONG_AGO) == 0
        assert trim(db, "demo", 2, LONG_AGO) == 2
    assert ids(engine, state=None) == [3, 4]


def test_what_is_too_old_goes_and_what_a_release_holds_stays(engine: Engine) -> None:
    keep(engine, 3)
    claim(engine, "one", ids=(1,))
    with writing(engine) as db:
        db.execute(update(quarantine).where(quarantine.c.id < 3).values(quarantined_at=LONG_AGO))
        assert trim(db, "demo", 1, LONG_AGO + timedelta(days=1)) == 1
    assert ids(engine, state=None) == [1, 3]
