"""The journal as JSON lines, for people: read beside the processes that write it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from storage.database import dump_json
from storage.records import FeedbackRecord, SingleRecord, decode_record, flatten
from storage.segments import read_frames


def read_lines(root: Path) -> Iterator[str]:
    """Each record that still stands in a journal folder, those of one process in their order.

    Some may be in SQL already: a file goes when all of it is. Of tokens, nothing is shown.
    """
    for path in sorted(root.glob("[!.]*/*.log")):
        try:
            for _, payload in read_frames(path, 0):
                yield from _lines(payload)
        except FileNotFoundError:  # drained meanwhile
            continue


def _lines(payload: bytes) -> Iterator[str]:
    try:
        records = flatten(decode_record(payload))
    except msgspec.MsgspecError:
        yield dump_json({"kind": "unreadable", "n_bytes": len(payload)})
        return
    for record in records:
        yield dump_json(_plain(record))


def _plain(record: SingleRecord) -> dict[str, Any]:
    if isinstance(record, FeedbackRecord):
        return {
            "kind": "feedback",
            "problem": record.problem,
            "items": [
                {
                    "prediction_id": item.prediction_id,
                    "actual": item.actual,
                    "observed_at": item.observed_at.isoformat(),
                }
                for item in record.items
            ],
            "received_at": record.received_at.isoformat(),
        }
    fields = msgspec.structs.asdict(record)
    if isinstance(record.features, bytes):
        fields["features"] = msgspec.json.decode(record.features)
    fields["answer"] = msgspec.json.decode(record.answer)
    for name in ("event_time", "created_at"):
        fields[name] = fields[name].isoformat()
    return {"kind": "prediction", **fields}
