from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from storage.journal import Journal
from storage.neighbours import Neighbours
from storage.prediction_batches import BatchRecord
from storage.records import (
    FeedbackItem,
    FeedbackRecord,
    PredictionRecord,
    Record,
    decode_prediction,
    encode_record,
)
from storage.segments import END

NOW = datetime(2026, 3, 1, tzinfo=UTC)
MEGABYTE = 1024 * 1024


def a_prediction(name: str) -> PredictionRecord:
    return PredictionRecord("demo", name, "1", None, NOW, [1.0], 2.0, None, b"{}", NOW)


def a_batch(*names: str) -> BatchRecord:
    return BatchRecord(
        "demo", "1", NOW, list(names), None, None, "<f4", b"\0\0\x80?" * len(names), [], [],
        [1.0] * len(names), None, [], None, None,
    )  # fmt: skip


def write(journal: Journal, *records: Record) -> None:
    async def append_all() -> None:
        for entry in [journal.append(encode_record(record)) for record in records]:
            await entry.durable()

    asyncio.run(append_all())


@contextmanager
def two(root: Path) -> Iterator[tuple[Journal, Journal]]:
    one, other = Journal(root, MEGABYTE), Journal(root, MEGABYTE)
    yield one, other
    one.close()
    other.close()


def test_a_journal_of_ones_own_is_no_neighbour(tmp_path: Path) -> None:
    journal = Journal(tmp_path, MEGABYTE)
    neighbours = Neighbours(tmp_path, journal.folder)
    write(journal, a_prediction("p1"))
    assert not neighbours.are_there
    assert neighbours.predictions("demo", ["p1"]) == {}
    journal.close()


def test_what_another_process_wrote_is_found_as_it_grows(tmp_path: Path) -> None:
    with two(tmp_path) as (own, other):
        neighbours = Neighbours(tmp_path, own.folder)
        assert neighbours.are_there
        for name in ("p1", "p2"):
            assert neighbours.predictions("demo", [name]) == {}
            write(other, a_prediction(name))
            found = neighbours.predictions("demo", [name])
            assert decode_prediction(found[name], name) == a_prediction(name)
        assert neighbours.predictions("else", ["p1"]) == {}


def test_a_prediction_of_a_batch_is_found_by_its_id(tmp_path: Path) -> None:
    with two(tmp_path) as (own, other):
        write(other, a_batch("b1", "b2"))
        found = Neighbours(tmp_path, own.folder).predictions("demo", ["b2"])
        assert decode_prediction(found["b2"], "b2").prediction_id == "b2"


def test_the_first_label_of_a_prediction_counts(tmp_path: Path) -> None:
    with two(tmp_path) as (own, other):
        for actual in (1.0, 2.0):
            write(other, FeedbackRecord("demo", [FeedbackItem("p1", actual, NOW)], None, NOW))
        found = Neighbours(tmp_path, own.folder).labels("demo", ["p1", "p2"])
        assert {name: record.item(name).actual for name, record in found.items()} == {"p1": 1.0}


def test_what_was_drained_is_no_longer_found(tmp_path: Path) -> None:
    own, other = Journal(tmp_path, MEGABYTE), Journal(tmp_path, MEGABYTE)
    neighbours = Neighbours(tmp_path, own.folder)
    write(other, a_prediction("p1"))
    assert "p1" in neighbours.predictions("demo", ["p1"])
    segment = other.oldest()
    assert segment is not None
    other.release(segment, segment.size)
    other.close()
    assert neighbours.predictions("demo", ["p1"]) == {}
    assert not neighbours.are_there
    own.close()


def test_half_a_record_is_read_once_it_is_whole(tmp_path: Path) -> None:
    with two(tmp_path) as (own, other):
        neighbours = Neighbours(tmp_path, own.folder)
        write(other, a_prediction("p1"))
        (path,) = other.folder.glob("*.log")
        whole = path.read_bytes()
        path.write_bytes(whole[: -len(END) - 3])
        assert neighbours.predictions("demo", ["p1"]) == {}
        path.write_bytes(whole)
        assert "p1" in neighbours.predictions("demo", ["p1"])
