"""Which rows a model was fitted on: places, hash, sources."""

from __future__ import annotations

import hashlib
import struct

import numpy as np
import pandas as pd
import pytest

from learning.lineage import digest, rows_at, spans, used
from learning.rows import Rows

TIMES = pd.to_datetime(["2026-01-01", "2026-01-02", "2026-01-03"], utc=True)


def frame() -> pd.DataFrame:
    """Three observations."""
    return pd.DataFrame(
        {
            "_event_time": TIMES,
            "_source": ["inbox", "feedback", "inbox"],
            "x": [1.0, np.nan, 3.0],
        }
    )


def rows(*place: int) -> Rows:
    """Rows that were encoded from these places."""
    n = len(place)
    times = TIMES.tz_localize(None).to_numpy()[list(place)]
    return Rows(np.zeros((n, 1), np.float32), np.zeros(n), times, np.array(place, dtype=np.int64))


def test_the_hash_is_the_one_made_by_hand() -> None:
    found = digest(pd.DataFrame({"b": [1.5, np.nan], "a": ["é", None]}))
    text = "2 rows\na\n1:é-1:\nb\n".encode() + struct.pack("<dd", 1.5, np.nan)
    assert found == hashlib.sha256(text).hexdigest()


def test_the_hash_knows_values_and_order_but_not_how_they_are_kept() -> None:
    whole = frame()
    other = whole[["x", "_source", "_event_time"]].astype({"_source": "category"})
    other["_event_time"] = other["_event_time"].dt.tz_convert("Europe/Berlin")
    assert digest(other) == digest(whole)
    for change in ({"x": [1.0, np.nan, 4.0]}, {"_source": ["inbox", "feedback", None]}):
        assert digest(whole.assign(**change)) != digest(whole)
    assert digest(whole.iloc[::-1]) != digest(whole)
    assert digest(pd.DataFrame({"a": ["1", "12"]})) != digest(pd.DataFrame({"a": ["11", "2"]}))


def test_rows_are_described_by_place_time_and_source() -> None:
    found = used(frame(), rows(0, 2))
    assert (found.n_rows, found.spans) == (2, ((0, 1), (2, 3)))
    assert (found.first, found.last) == (TIMES[0].isoformat(), TIMES[2].isoformat())
    assert found.sources == {"inbox": 2}
    assert found.sha256 == digest(frame().iloc[[0, 2]])
    assert digest(rows_at(frame(), found.spans)) == found.sha256


def test_no_rows_have_no_times() -> None:
    found = used(frame(), rows())
    assert (found.n_rows, found.first, found.spans) == (0, None, ())
    assert rows_at(frame(), found.spans).empty


def test_rows_that_come_from_no_frame_have_no_place() -> None:
    bare = Rows(np.zeros((1, 1), np.float32), np.zeros(1), np.zeros(1, "datetime64[us]"))
    with pytest.raises(ValueError, match="come from no frame"):
        used(frame(), bare)


def test_places_stay_with_their_rows() -> None:
    part = rows(0, 1, 2).part(slice(1, None)).part(np.array([False, True]))
    assert part.place is not None
    assert spans(part.place) == ((2, 3),)
