"""Drained segments are written again, and nothing of their former life is ever read."""

from __future__ import annotations

import math
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.journal import Journal
from storage.segments import END, REUSED_SUFFIX, frame, has_more, read_frames, seed_of
from tests.storage.test_journal import adopted, drain, opened, segments, settled, write

SIZE = 16 * 1024


@pytest.fixture(autouse=True)
def _small_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("storage.spare.LEAST_BYTES", 1)


def record(number: int) -> bytes:
    """All of one length, so that new records end where old ones did."""
    return b"%08d" % number * 100


def write_many(journal: Journal, numbers: range) -> Iterator[int]:
    """Write and drain one after another."""
    for number in numbers:
        write(journal, record(number))
        settled(journal)
        yield number


def test_a_drained_segment_is_written_again_and_only_its_new_records_are_read(
    tmp_path: Path,
) -> None:
    names, inodes = set[str](), set[int]()
    with opened(tmp_path, segment=SIZE) as journal:
        for number in write_many(journal, range(400)):
            names |= {path.name for path in segments(tmp_path)}
            inodes |= {path.stat().st_ino for path in segments(tmp_path)}
            assert drain(journal) == [record(number)]
        assert any(name.endswith(REUSED_SUFFIX) for name in names)
        assert len(names) > 15
        assert len(inodes) <= 6
    assert list(tmp_path.iterdir()) == []


def test_records_of_files_used_again_keep_their_order(tmp_path: Path) -> None:
    with opened(tmp_path, segment=SIZE) as journal:
        written = list[bytes]()
        for number in write_many(journal, range(400)):
            written += [record(number)]
            if number % 50 == 49:
                assert drain(journal) == written
                written = []


def test_a_successor_reads_the_new_records_of_a_file_that_was_used_before(tmp_path: Path) -> None:
    dead = tmp_path / "dead"
    with opened(tmp_path / "alive", segment=SIZE) as journal:
        for number in write_many(journal, range(203)):
            if number < 195:
                drain(journal)
        assert segments(tmp_path / "alive")[0].name.endswith(REUSED_SUFFIX)
        shutil.copytree(tmp_path / "alive", dead)  # what a power cut would leave
    with opened(dead, segment=SIZE) as successor:
        found = adopted(successor)
        assert len(found) < 30  # those of its file that SQL has are read again, too
        assert found == [record(number) for number in range(203 - len(found), 203)]
        assert drain(successor) == found
    assert list(dead.iterdir()) == []  # neither drained files nor anything torn


def test_what_is_half_written_over_old_records_is_kept_for_a_person(tmp_path: Path) -> None:
    folder = tmp_path / "root" / "someone"
    folder.mkdir(parents=True)
    path = folder / f"00000007{REUSED_SUFFIX}"
    whole = frame(b"whole", seed_of(path))
    path.write_bytes(whole + frame(b"half written", seed_of(path))[:15] + b"of old records")

    with opened(tmp_path / "root") as successor:
        assert adopted(successor) == [b"whole"]
        assert drain(successor) == [b"whole"]
    (kept,) = (tmp_path / "root").iterdir()
    assert kept.name.startswith(".torn-someone-")


def test_records_without_a_seed_are_read_as_older_versions_wrote_them(tmp_path: Path) -> None:
    path = tmp_path / "old.log"
    path.write_bytes(frame(b"one") + frame(b"two"))

    assert [payload for _, payload in read_frames(path, 0)] == [b"one", b"two"]


@given(
    n_old=st.integers(0, 8), n_new=st.integers(0, 5), lost=st.integers(0, 60),
    length=st.integers(1, 12),
)  # fmt: skip
def test_whatever_of_a_write_is_lost_old_records_are_never_read(
    n_old: int, n_new: int, lost: int, length: int
) -> None:
    """A write over old records of the same length, of which the end did not reach the disk."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"00000009{REUSED_SUFFIX}"
        old_seed, seed = seed_of(path.with_name("00000003.log")), seed_of(path)
        old = b"".join(frame(b"o" * length, old_seed) for _ in range(n_old))
        new = b"".join(frame(b"n" * length, seed) for _ in range(n_new)) + END
        arrived = new[: max(0, len(new) - lost)]
        path.write_bytes(arrived + old[len(arrived) :])
        found = list(read_frames(path, 0))
        assert {payload for _, payload in found} <= {b"n" * length}
        assert len(found) >= n_new - -(-lost // (length + 8))
        if not lost:
            assert len(found) == n_new
            assert not has_more(path, len(new) - len(END))


@pytest.mark.parametrize("n_kills", [6, pytest.param(200, marks=pytest.mark.long)])
def test_a_kill_at_any_moment_loses_nothing_and_brings_nothing_back(
    tmp_path: Path, n_kills: int
) -> None:
    rng, n_reused = random.Random(5), 0
    for kill in range(n_kills):
        root = tmp_path / f"{kill}"
        root.mkdir()
        durable, drained = run_until_killed(root, rng.uniform(0, 0.4))
        n_reused += any(path.name.endswith(REUSED_SUFFIX) for path in segments(root))
        with opened(root, segment=SIZE) as successor:
            found = [int(payload[:8]) for payload in adopted(successor)]
            drain(successor)
        assert durable - drained <= set(found)
        assert found == list(range(found[0], found[0] + len(found))) if found else True
        # Of what was drained, only what shares a file with something that was not, or was about to
        # go, comes again.
        assert len(set(found) & drained) <= 3 * SIZE // 168
        assert all(path.name.startswith(".torn-") for path in root.iterdir())
    assert n_reused > n_kills / 2


def run_until_killed(root: Path, seconds: float) -> tuple[set[int], set[int]]:
    """What a process took as durable and what it drained before it was killed."""
    said: dict[str, set[int]] = {"a": set(), "d": set()}
    command = [sys.executable, "-m", "tests.storage.journal_process", str(root)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        deadline = math.inf
        try:
            for line in process.stdout:
                what, *numbers = line.split()
                said[what] |= set(map(int, numbers))
                if len(said["d"]) > 500:  # files go round by now
                    deadline = min(deadline, time.monotonic() + seconds)
                if time.monotonic() > deadline:
                    process.kill()  # what it said until then is read on
        finally:
            process.kill()
    return said["a"], said["d"]
