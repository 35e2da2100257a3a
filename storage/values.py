"""What SQL and those who ask it share without its libraries."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any


class StorageError(Exception):
    """Something at rest is not as expected; the message says what, where and what to do."""


def plain(value: Any) -> Any:
    """The value as strict JSON knows it: NaN and infinities become None, tuples lists."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set):
        return [plain(item) for item in value]
    return value


def dump_json(value: Any) -> str:
    """Strict, compact JSON text of a value."""
    return json.dumps(plain(value), allow_nan=False, separators=(",", ":"), default=str)


@dataclass(frozen=True)
class Facts:
    """The latest run, drift check and live measurement of one problem, and its versions.

    Times in Unix seconds; ``versions`` are states with how many stand in each. None is unknown.
    """

    last_run_ended: float | None = None
    drift_share: float | None = None
    is_drifted: bool | None = None
    live_metric: str | None = None
    live_value: float | None = None
    live_low: float | None = None
    live_high: float | None = None
    live_floor: float | None = None
    live_rows: int | None = None
    is_below_floor: bool | None = None
    champion_trained: float | None = None
    age_limit_seconds: float | None = None
    versions: tuple[tuple[str, int], ...] = ()
    n_quarantined: int | None = None
    every_seconds: float | None = None
