from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path

from storage.journal import Journal
from storage.journal_reading import read_lines
from storage.records import FeedbackItem, FeedbackRecord, PredictionRecord, encode_record

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def write(journal: Journal, *payloads: bytes) -> None:
    async def append_all() -> None:
        for entry in [journal.append(payload) for payload in payloads]:
            await entry.durable()

    asyncio.run(append_all())


def test_the_journal_is_read_as_json_lines_while_it_is_written(tmp_path: Path) -> None:
    prediction = PredictionRecord(
        "demo", "p1", "3", "k", NOW, b'[1.5,null,"a"]', 1, [0.2, 0.8], b'{"prediction":1}', NOW
    )
    label = FeedbackRecord("demo", [FeedbackItem("p1", 0, NOW)], "token-7", NOW)
    journal = Journal(tmp_path, 1024 * 1024)
    write(journal, encode_record(prediction), encode_record(label), b"what is this")
    first, second, third = (json.loads(line) for line in read_lines(tmp_path))
    journal.close()
    assert first == {
        "kind": "prediction",
        "problem": "demo",
        "prediction_id": "p1",
        "model_version": "3",
        "key": "k",
        "event_time": "2026-03-01T00:00:00+00:00",
        "features": [1.5, None, "a"],
        "prediction": 1,
        "probabilities": [0.2, 0.8],
        "answer": {"prediction": 1},
        "created_at": "2026-03-01T00:00:00+00:00",
    }
    assert second["items"] == [
        {"prediction_id": "p1", "actual": 0, "observed_at": "2026-03-01T00:00:00+00:00"}
    ]
    assert "token-7" not in json.dumps(second)
    assert third == {"kind": "unreadable", "n_bytes": 12}


def test_nothing_waits_where_there_is_no_journal(tmp_path: Path) -> None:
    assert list(read_lines(tmp_path / "journal")) == []
