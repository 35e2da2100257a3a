from __future__ import annotations

import asyncio
import errno
import os
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.journal import Entry, Journal, JournalFullError
from storage.segments import FRAME, Segment, frame, read_frames, read_portion
from storage.spare import Spare

MEGABYTE = 1024 * 1024


@contextmanager
def opened(root: Path, limit: int = MEGABYTE, segment: int = MEGABYTE) -> Iterator[Journal]:
    root.mkdir(exist_ok=True)
    journal = Journal(root, limit, segment)
    try:
        yield journal
    finally:
        journal.close()


def write(journal: Journal, *payloads: bytes) -> list[Entry]:
    async def append_all() -> list[Entry]:
        entries = [journal.append(payload) for payload in payloads]
        await asyncio.gather(*(entry.durable() for entry in entries))
        return entries

    return asyncio.run(append_all())


def drain(journal: Journal, n_rows: int = 100) -> list[bytes]:
    drained: list[bytes] = []
    while journal.oldest() is not None:
        drained += drain_portion(journal, n_rows)
    return drained


def next_portion(journal: Journal, n_rows: int) -> tuple[Segment, int, list[bytes]]:
    segment = journal.oldest()
    assert segment is not None
    end, payloads = read_portion(segment.path, segment.drained, segment.size, n_rows, MEGABYTE)
    return segment, end, payloads


def drain_portion(journal: Journal, n_rows: int) -> list[bytes]:
    segment, end, payloads = next_portion(journal, n_rows)
    journal.release(segment, end)
    return payloads


def adopted(journal: Journal) -> list[bytes]:
    return [payload for _, payload in journal.adopt()]


def segments(root: Path) -> list[Path]:
    return sorted(root.glob("*/*.log"))


def test_records_come_out_in_the_order_they_went_in(tmp_path: Path) -> None:
    with opened(tmp_path) as journal:
        write(journal, b"one", b"two")
        write(journal, b"three")
        assert drain(journal, n_rows=2) == [b"one", b"two", b"three"]
        assert journal.oldest() is None


def test_a_batch_comes_again_until_it_is_released(tmp_path: Path) -> None:
    with opened(tmp_path) as journal:
        write(journal, b"one", b"two")
        for _ in range(2):
            segment, end, payloads = next_portion(journal, 1)
            assert payloads == [b"one"]
        journal.release(segment, end)
        assert drain(journal) == [b"two"]


def test_an_entry_can_be_read_back_until_its_segment_is_gone(tmp_path: Path) -> None:
    with opened(tmp_path, segment=1) as journal:
        (entry,) = write(journal, b"one")
        assert entry.read() == b"one"
        write(journal, b"two")
        drain(journal)
        assert entry.read() is None


def test_what_was_not_drained_is_adopted_by_the_next_process(tmp_path: Path) -> None:
    with opened(tmp_path) as journal:
        write(journal, b"one", b"two", b"three")
        drain_portion(journal, 1)
    with opened(tmp_path) as successor:
        assert adopted(successor) == [b"one", b"two", b"three"]  # again: SQL ignores known ids
        write(successor, b"four")
        assert drain(successor) == [b"one", b"two", b"three", b"four"]
        assert adopted(successor) == []
    assert list(tmp_path.iterdir()) == []


def test_adopted_segments_keep_their_order(tmp_path: Path) -> None:
    payloads = [f"{number}".encode() for number in range(10)]
    with opened(tmp_path, segment=1) as journal:
        for payload in payloads:
            write(journal, payload)
        assert len(segments(tmp_path)) >= 10
    with opened(tmp_path) as successor:
        assert adopted(successor) == payloads
        assert drain(successor) == payloads


def test_a_folder_whose_owner_lives_is_left_alone(tmp_path: Path) -> None:
    with opened(tmp_path) as first, opened(tmp_path) as second:
        write(first, b"mine")
        assert adopted(second) == []
        assert drain(second) == []
        assert drain(first) == [b"mine"]


def test_a_fully_drained_journal_leaves_nothing_behind(tmp_path: Path) -> None:
    with opened(tmp_path) as journal:
        write(journal, b"one")
        drain(journal)
    assert list(tmp_path.iterdir()) == []


@given(
    payloads=st.lists(st.binary(min_size=1, max_size=40), min_size=1, max_size=8), data=st.data()
)
def test_after_any_cut_the_whole_records_before_it_are_read(
    payloads: list[bytes], data: st.DataObject
) -> None:
    content = b"".join(map(frame, payloads))
    cut = data.draw(st.integers(0, len(content)))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "cut.log"
        path.write_bytes(content[:cut])
        found = [payload for _, payload in read_frames(path, 0)]
    ends = [sum(FRAME.size + len(p) for p in payloads[: n + 1]) for n in range(len(payloads))]
    assert found == payloads[: sum(end <= cut for end in ends)]


def test_zeros_behind_the_last_record_are_a_file_made_ahead(tmp_path: Path) -> None:
    with opened(tmp_path) as journal:
        write(journal, b"one")
        (path,) = segments(tmp_path)
    with path.open("ab") as file:
        file.write(bytes(1_000_000))
    with opened(tmp_path) as successor:
        assert adopted(successor) == [b"one"]
        assert drain(successor) == [b"one"]
    assert list(tmp_path.iterdir()) == []


def settled(journal: Journal) -> None:
    """Wait until the file that is made ahead is there."""
    if journal._spare._making is not None:
        journal._spare._making.join()


def test_segments_are_made_ahead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("storage.spare.LEAST_BYTES", 1)
    size = 64 * 1024
    with opened(tmp_path, segment=size) as journal:
        written = []
        for number in range(40):
            written += [b"%d" % number * 4000]
            write(journal, written[-1])
            settled(journal)
        *full, active, spare = segments(tmp_path)
        assert len(full) >= 3
        assert active.stat().st_size == spare.stat().st_size == size  # zeros to overwrite
        assert not spare.read_bytes().strip(b"\0")
        assert drain(journal) == written
    assert list(tmp_path.iterdir()) == []


def test_files_made_ahead_and_files_that_grow_keep_their_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storage.spare.LEAST_BYTES", 1)
    room = threading.Event()
    real = Spare._fill

    def fill(self: Spare, file: int) -> None:
        if not room.is_set():
            raise OSError(errno.ENOSPC, "full")
        real(self, file)

    monkeypatch.setattr(Spare, "_fill", fill)
    with opened(tmp_path, segment=50) as journal:
        for number in range(12):
            if number == 6:
                room.set()
            write(journal, b"record %d" % number * 4)
            settled(journal)
    with opened(tmp_path) as successor:
        assert adopted(successor) == [b"record %d" % number * 4 for number in range(12)]
        drain(successor)
    assert list(tmp_path.iterdir()) == []


def test_without_room_for_a_file_made_ahead_segments_grow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_spare: Spare, _file: int) -> None:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr("storage.spare.LEAST_BYTES", 1)
    monkeypatch.setattr(Spare, "_fill", refuse)
    with opened(tmp_path, segment=10) as journal:
        write(journal, *[b"record"] * 3)
        write(journal, b"more")
        assert drain(journal) == [b"record"] * 3 + [b"more"]


@pytest.mark.parametrize(
    "tail", [b"\0" * 63 + b"\1", b"\x05\0\0\0\0\0\0\0wrong", b"\xff" * 20, b"\x01"]
)
def test_a_torn_tail_is_ignored_and_kept_for_a_person(tmp_path: Path, tail: bytes) -> None:
    with opened(tmp_path) as journal:
        write(journal, b"one", b"two")
        (path,) = segments(tmp_path)
    with path.open("ab") as file:
        file.write(tail)
    with opened(tmp_path) as successor:
        assert adopted(successor) == [b"one", b"two"]
        assert drain(successor) == [b"one", b"two"]
    (kept,) = tmp_path.iterdir()
    assert kept.name.startswith(".torn-")
    assert kept.read_bytes().endswith(tail)


def test_the_limit_refuses_and_draining_makes_room(tmp_path: Path) -> None:
    with opened(tmp_path, limit=1000) as journal:
        write(journal, b"x" * 600)
        with pytest.raises(JournalFullError, match="limit"):
            write(journal, b"y" * 600)
        assert drain(journal) == [b"x" * 600]
        write(journal, b"y" * 600)
        assert drain(journal) == [b"y" * 600]


def test_records_that_are_still_being_written_count_towards_the_limit(tmp_path: Path) -> None:
    with opened(tmp_path, limit=1000) as journal:
        with pytest.raises(JournalFullError):
            write(journal, *[b"x" * 300] * 4)
        journal.adopt()


def test_adopted_records_count_towards_the_limit(tmp_path: Path) -> None:
    with opened(tmp_path, limit=1000) as journal:
        write(journal, b"x" * 600)
    with opened(tmp_path, limit=1000) as successor:
        adopted(successor)
        assert successor.backlog_bytes == 608
        with pytest.raises(JournalFullError):
            write(successor, b"y" * 600)


def test_after_a_failed_sync_later_records_survive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_file: int) -> None:
        raise OSError(28, "No space left on device")

    with opened(tmp_path) as journal:
        write(journal, b"before")
        with monkeypatch.context() as broken:
            broken.setattr(os, "fdatasync", refuse)
            with pytest.raises(JournalFullError, match="No space left"):
                write(journal, b"lost")
        write(journal, b"after")
    with opened(tmp_path) as successor:
        assert adopted(successor) == [b"before", b"after"]


def test_a_half_written_record_does_not_hide_later_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.pwrite

    def half(file: int, content: memoryview, offset: int) -> int:
        real(file, content[: len(content) // 2], offset)
        raise OSError(28, "No space left on device")

    with opened(tmp_path) as journal:
        with monkeypatch.context() as broken:
            broken.setattr(os, "pwrite", half)
            broken.setattr(os, "ftruncate", lambda file, size: None)
            with pytest.raises(JournalFullError):
                write(journal, b"half" * 100)
        write(journal, b"after")
    with opened(tmp_path) as successor:
        assert adopted(successor) == [b"after"]


def test_records_of_one_turn_share_one_sync(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    n_syncs = 0
    real = os.fdatasync

    def count(file: int) -> None:
        nonlocal n_syncs
        n_syncs += 1
        real(file)

    monkeypatch.setattr(os, "fdatasync", count)
    with opened(tmp_path) as journal:
        write(journal, *[b"record"] * 100)
        assert n_syncs == 1
        assert len(drain(journal)) == 100


def test_two_who_wait_for_one_record_are_both_told(tmp_path: Path) -> None:
    async def wait_twice(journal: Journal) -> None:
        entry = journal.append(b"one")
        impatient = asyncio.create_task(entry.durable())
        await asyncio.sleep(0)
        impatient.cancel()
        await entry.durable()
        await entry.durable()

    with opened(tmp_path) as journal:
        asyncio.run(wait_twice(journal))
        assert drain(journal) == [b"one"]


def test_a_disk_that_syncs_slowly_is_left_to_the_writer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[str] = []
    seconds = iter([0.0, 0.01, 0.0, 0.0])
    now = 0.0

    def sync(_file: int) -> None:
        nonlocal now
        threads.append(threading.current_thread().name)
        now += next(seconds)

    monkeypatch.setattr(os, "fdatasync", sync)
    clock = SimpleNamespace(perf_counter=lambda: now, time=time.time)
    monkeypatch.setattr("storage.journal.time", clock)
    with opened(tmp_path) as journal:
        for number in range(4):
            write(journal, b"record %d" % number)
        assert len(drain(journal)) == 4
    # Slow the second time: the third is handed over, and found quick again.
    assert [name == "journal" for name in threads] == [False, False, True, False]
