"""The pointer's file, and the words of the servers that follow it."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from storage import pointers
from storage.pointers import Acknowledgement, Former, Pointer


def test_there_is_no_pointer_before_the_first_promotion(tmp_path: Path) -> None:
    assert pointers.read_pointer(tmp_path, "demo") is None


def test_a_pointer_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    pointer = Pointer(
        "demo", 2, "7", "b7", datetime(2026, 1, 1, tzinfo=UTC), "anna", "ü", (Former("6", "b6"),)
    )
    pointers.move_pointer(tmp_path, pointer)
    assert pointers.read_pointer(tmp_path, "demo") == pointer


@pytest.mark.parametrize("content", [b"", b"{", b'{"problem": "demo"}', b"\x00\xff"])
def test_a_torn_pointer_is_an_error_and_no_answer(tmp_path: Path, content: bytes) -> None:
    path = pointers.pointer_path(tmp_path, "demo")
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    with pytest.raises(msgspec.MsgspecError):
        pointers.read_pointer(tmp_path, "demo")


def test_only_servers_that_live_have_a_word(tmp_path: Path) -> None:
    for worker in ("alive", "dead", "gone"):
        pointers.acknowledge(tmp_path, "demo", Acknowledgement(worker, 1, 1))
    folder = tmp_path / "servers" / "demo"
    long_ago = time.time() - 2 * pointers.ALIVE_SECONDS
    os.utime(folder / "dead.json", (long_ago, long_ago))
    pointers.withdraw(tmp_path, "demo", "gone")
    (folder / "torn.json").write_text("{")
    assert [word.worker for word in pointers.acknowledgements(tmp_path, "demo")] == ["alive"]
    pointers.stay(tmp_path, "demo", "dead")
    pointers.stay(tmp_path, "demo", "gone")
    words = pointers.acknowledgements(tmp_path, "demo")
    assert [word.worker for word in words] == ["alive", "dead"]
