"""What may become of a damaged file, and the rows that every one of them begins with.

Every file has its own 24 rows (`plain`), so that all of them can be dropped into one inbox. What
is said of a case is all that may happen: `Refused` stores nothing, `Kept` says how many rows were
stored, what was quarantined and why, and how many repeat a key that was known.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pandas as pd

from tests.factories import START

N = 24
FEATURES: list[dict[str, Any]] = [
    {"name": "temp", "minimum": 0, "maximum": 100},
    {"name": "count", "nullable": False},
    {"name": "plan", "kind": "categorical", "categories": ["basic", "pro"]},
    {
        "name": "region",
        "kind": "categorical",
        "categories": ["north", "south"],
        "unseen": "quarantine",
        "nullable": False,
    },
]


@dataclass(frozen=True)
class Refused:
    """The whole file is refused, for a reason with this in it."""

    reason: str


@dataclass(frozen=True)
class Kept:
    """Rows stored, reasons of quarantined ones, repeats; and a column as it stands afterwards."""

    n_rows: int = N
    reasons: dict[str, int] = field(default_factory=dict)
    n_repeated: int = 0
    column: str = ""
    values: Any = None


Outcome = Refused | Kept
Case = tuple[str, bytes, Outcome]  # what is wrong or the file's name, the bytes, what happens


def plain(prefix: str) -> pd.DataFrame:
    """24 good rows whose keys begin with ``prefix``."""
    return pd.DataFrame(
        {
            "row_id": [f"{prefix}-{row:02}" for row in range(N)],
            "when": [(START + timedelta(minutes=row)).isoformat() for row in range(N)],
            "temp": [20.5 + row for row in range(N)],
            "count": list(range(N)),
            "plan": ["basic", "pro"] * (N // 2),
            "region": ["north", "south"] * (N // 2),
            "label": ["no", "yes"] * (N // 2),
        }
    )


def text(frame: pd.DataFrame) -> str:
    """A frame as CSV."""
    return str(frame.to_csv(index=False, lineterminator="\n"))
