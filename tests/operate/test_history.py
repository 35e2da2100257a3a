"""History and verify as a person asks for them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from sqlalchemy import delete

from operate.by_hand import roll_back_now
from operate.history import read_history, show_history, show_verified, verify
from operate.terminal import out
from settings import Settings
from storage.database import open_engine, writing
from storage.tables import ledger
from tasks.rollback import RollbackError
from tests.factories import small_settings
from tests.factories_releases import release_next


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Two versions were promoted, then a person went back to the first."""
    settings = small_settings(tmp_path_factory.mktemp("told"))
    for _ in range(2):
        assert release_next(settings).state == "promoted"
    roll_back_now(settings, "small", None, "wrong [on] weekends")
    return settings


def test_reigns_follow_each_other_and_name_who_decided(
    told: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    found = read_history(told, "small", 50)
    reigns = found["reigns"]
    assert [(row["version"], row["decided_by"]) for row in reigns] == [
        (1, "person"),
        (2, "loop"),
        (1, "loop"),
    ]
    assert [row["until"] for row in reigns] == [None, reigns[0]["from"], reigns[1]["from"]]
    assert reigns[0]["from"] < datetime.now(UTC)
    assert reigns[1]["evidence"]["gain_low"] == 0.05
    assert len({row["hash"] for row in reigns}) == 3
    show_history(found, out())
    shown = capsys.readouterr().out
    assert "policy changed by problem file" in shown
    assert "rolled back" in shown
    assert "wrong" in shown


def test_a_person_must_say_why(told: Settings) -> None:
    with pytest.raises(RollbackError, match="needs a reason"):
        roll_back_now(told, "small", 2, "  ")


def test_verify_proves_and_names_what_is_broken(
    told: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = verify(told, None)
    assert (whole["ok"], whole["rows"], whole["broken"]) == (True, 4, None)
    assert verify(told, whole["head"])["ok"]
    assert not verify(told, "ab" * 32)["ok"]
    engine = open_engine(told.sql_url)
    with writing(engine) as db:
        db.execute(delete(ledger).where(ledger.c.seq == 3))
    engine.dispose()
    found = verify(told, None)
    assert (found["ok"], found["broken"]["row"]) == (False, 3)
    show_verified(found, out())
    assert "broken at row 3: row 3 is missing" in capsys.readouterr().out
