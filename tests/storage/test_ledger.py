"""The ledger: chained by hash, written with its act, proven row by row."""

from __future__ import annotations

import hashlib
import json
import threading
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import Engine, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from storage.database import reading, writing
from storage.ledger import GENESIS, Entry, append, decider, newest_of, row_hash
from storage.ledger_check import Checked, check
from storage.releases import begin_release, finish_release
from storage.tables import decisions, ledger, models, releases, tokens
from storage.tokens import create_token, revoke_token

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


def wrote(engine: Engine, *subjects: str) -> None:
    """Acts of weight, one transaction each."""
    for subject in subjects:
        with writing(engine) as db:
            append(db, Entry("demo", "policy changed", subject, "problem file", "why", {"x": 1e16}))


def checked(engine: Engine, head: str | None = None) -> Checked:
    """What a check finds."""
    with reading(engine) as db:
        return check(db, head)


def released(engine: Engine, version: int, state: str = "promoted", actor: str = "loop") -> int:
    """The generation of a release that ended."""
    with writing(engine) as db:
        generation = begin_release(db, "demo", version, f"b{version}", actor, "better", NOW)
        finish_release(db, "demo", generation, state)
    return generation


def rows(engine: Engine) -> list[Any]:
    """The whole ledger."""
    with reading(engine) as db:
        return list(db.execute(select(ledger).order_by(ledger.c.seq)))


def test_the_hash_is_that_of_a_row_by_hand() -> None:
    row = {
        "seq": 1, "at": NOW, "problem": None, "act": "a", "subject": "s", "generation": 2,
        "actor": "loop", "decided_by": "loop", "reason": "é", "evidence": "{}",
        "previous_hash": GENESIS,
    }  # fmt: skip
    text = (
        '{"act":"a","actor":"loop","at":"2026-01-01T12:00:00.000000+00:00","decided_by":"loop",'
        f'"evidence":"{{}}","generation":2,"previous_hash":"{GENESIS}","problem":null,'
        '"reason":"\\u00e9","seq":1,"subject":"s"}'
    )
    assert row_hash(row) == hashlib.sha256(text.encode()).hexdigest()


def test_an_unbroken_chain_is_proven_on_each_database(engine: Engine) -> None:
    assert checked(engine) == Checked(0, GENESIS, None, None, ())
    wrote(engine, "a", "b", "c")
    first, second, third = rows(engine)
    assert first.previous_hash == GENESIS
    assert (second.previous_hash, third.previous_hash) == (first.hash, second.hash)
    assert checked(engine) == Checked(3, third.hash, None, None, ())


@pytest.mark.parametrize(
    ("forge", "row", "why"),
    [
        (update(ledger).where(ledger.c.seq == 2).values(reason="other"), 2, "was changed"),
        (update(ledger).where(ledger.c.seq == 2).values(evidence="{}"), 2, "was changed"),
        (delete(ledger).where(ledger.c.seq == 2), 2, "row 2 is missing; the next one is row 3"),
        (update(ledger).where(ledger.c.seq == 2).values(previous_hash="0"), 2, "not chained"),
    ],
)
def test_the_first_broken_row_is_named(engine: Engine, forge: Any, row: int, why: str) -> None:
    wrote(engine, "a", "b", "c", "d")
    with writing(engine) as db:
        db.execute(forge)
    found = checked(engine)
    assert found.broken_seq == row
    assert why in str(found.broken_why)
    assert not found.is_whole


def test_a_row_that_was_forged_with_its_hash_breaks_the_next_one(engine: Engine) -> None:
    wrote(engine, "a", "b", "c")
    forged = {**rows(engine)[1]._asdict(), "reason": "another story"}
    forged["hash"] = row_hash(forged)
    with writing(engine) as db:
        db.execute(update(ledger).where(ledger.c.seq == 2).values(forged))
    assert checked(engine).broken_seq == 3


def test_rows_cut_off_at_the_end_are_missed_by_a_hash_noted_before(engine: Engine) -> None:
    wrote(engine, "a", "b")
    noted = rows(engine)[-1].hash
    with writing(engine) as db:
        db.execute(delete(ledger).where(ledger.c.seq == 2))
    assert checked(engine).is_whole
    assert noted[:12] in checked(engine, noted).differences[0]


def test_writers_at_once_do_not_fork_the_chain(engine: Engine) -> None:
    threads = [threading.Thread(target=wrote, args=(engine, *"abcd")) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = checked(engine)
    assert (found.n_rows, found.is_whole) == (20, True)


def test_a_second_row_after_the_same_one_is_refused(engine: Engine) -> None:
    wrote(engine, "a", "b")
    fork = {**rows(engine)[1]._asdict(), "seq": 3}
    with pytest.raises(IntegrityError), writing(engine) as db:
        db.execute(insert(ledger).values(fork))


def test_an_act_that_fails_leaves_no_row(engine: Engine) -> None:
    def fail() -> None:
        with writing(engine) as db:
            append(db, Entry("demo", "a", "s", "loop", "why"))
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert rows(engine) == []


def test_a_release_is_told_with_the_evidence_of_its_gate(engine: Engine) -> None:
    with writing(engine) as db:
        version = {"problem": "demo", "version": 7, "run_id": "r7", "state": "challenger"}
        version |= {"metrics": {}, "clock": NOW, "trained_at": NOW}
        db.execute(insert(models).values(version))
        decision = {"run_id": "r7", "problem": "demo", "kind": "gate", "go": True}
        decision |= {"reason": "better by 0.1", "evidence": {"gain": 0.1, "version": 7, "y": 2}}
        db.execute(insert(decisions).values(**decision, clock=NOW, decided_at=NOW))
    released(engine, 7)
    (row,) = rows(engine)
    assert (row.problem, row.act, row.subject, row.generation) == ("demo", "promoted", "7", 1)
    told = json.loads(row.evidence)
    assert (told["bundle"], told["gain"], told["gate_passed"]) == ("b7", 0.1, True)
    text = '{"gain":0.1,"version":7,"y":2}'
    assert told["gate_evidence_sha256"] == hashlib.sha256(text.encode()).hexdigest()


@pytest.mark.parametrize(
    ("forge", "found"),
    [
        (update(releases).values(version=9), "demo: release 1 is not as row 1"),
        (update(releases).values(reason="no"), "demo: release 1 is not as row 1"),
        (delete(releases), "demo: release 1 is in the ledger, but not in the table"),
        (delete(ledger), "demo: release 1 (promoted, version 1) is not in the ledger"),
    ],
)
def test_a_table_that_tells_another_story_is_named(engine: Engine, forge: Any, found: str) -> None:
    released(engine, 1)
    assert checked(engine).is_whole
    with writing(engine) as db:
        db.execute(forge)
    assert found in checked(engine).differences[0]


def test_tokens_are_told_and_forged_ones_found(engine: Engine) -> None:
    one, _ = create_token(engine, ["read"], "shop", actor="ada")
    revoke_token(engine, one.token_id, "ada")
    revoke_token(engine, one.token_id, "ada")
    two, _ = create_token(engine, ["read"])
    told = [(row.act, row.subject, row.actor, row.decided_by) for row in rows(engine)]
    assert told[:2] == [
        ("token created", one.token_id, "ada", "person"),
        ("token revoked", one.token_id, "ada", "person"),
    ]
    assert checked(engine).is_whole
    with writing(engine) as db:
        mine = tokens.c.token_id == two.token_id
        db.execute(update(tokens).where(mine).values(scopes=["read", "admin"]))
        db.execute(update(tokens).where(~mine).values(revoked_at=None))
        row = {"token_id": "x", "secret_sha256": "0", "scopes": ["admin"], "created_at": NOW}
        db.execute(insert(tokens).values(row))
    assert sorted(checked(engine).differences) == sorted(
        [
            f"token {two.token_id} is not as the ledger tells it",
            f"token {one.token_id}: table and ledger differ on whether it was revoked",
            "token x is not in the ledger",
        ]
    )


def test_who_decided_is_one_of_four() -> None:
    actors = ("loop", "canary", "rollback", "ada by hand", "person", "problem file")
    assert [decider(actor) for actor in actors] == ["loop", "canary", "rollback", *["person"] * 3]


def test_the_newest_of_an_act_is_found(engine: Engine) -> None:
    wrote(engine, "a", "b")
    with reading(engine) as db:
        found = newest_of(db, "demo", "policy changed")
        assert found is not None
        assert found.subject == "b"
        assert newest_of(db, "other", "policy changed") is None
