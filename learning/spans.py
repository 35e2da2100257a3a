"""Lengths of the stream, given either in rows or in time."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_TIME = re.compile(r"^\s*(\d+(?:\.\d+)?)\s*([smhdw])\s*$")
_ROWS = re.compile(r"^\s*(\d+)\s*(?:rows?)?\s*$")


@dataclass(frozen=True)
class Span:
    """A length given in rows (``rows``) or in time (``time``); exactly one of them is set."""

    rows: int | None = None
    time: timedelta | None = None

    @classmethod
    def parse(cls, value: Any) -> Span:
        """Span from ``500``, ``"500 rows"`` or ``"7d"`` (units s, m, h, d, w).

        Raises ValueError for anything else, naming the forms that are understood.
        """
        if isinstance(value, cls):
            return value
        if isinstance(value, timedelta) and value >= timedelta(0):
            return cls(time=value)
        if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
            return cls(rows=value)
        if isinstance(value, str):
            if match := _ROWS.match(value):
                return cls(rows=int(match.group(1)))
            if match := _TIME.match(value):
                return cls(time=_length(float(match.group(1)) * _UNITS[match.group(2)]))
        raise ValueError(
            f"found {value!r}; expected a number of rows (500) or a time (30s, 5m, 12h, 7d, 2w)"
        )

    def __str__(self) -> str:
        if self.time is None:
            return f"{self.rows} rows"
        for unit in ("w", "d", "h", "m"):
            if self.time and self.time % timedelta(seconds=_UNITS[unit]) == timedelta(0):
                return f"{self.time // timedelta(seconds=_UNITS[unit])}{unit}"
        seconds, rest = divmod(self.time, timedelta(seconds=1))
        return f"{seconds}.{rest.microseconds:06d}".rstrip("0").rstrip(".") + "s"

    @classmethod
    def __get_pydantic_core_schema__(
        cls, source: type[Any], handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            cls.parse,
            serialization=core_schema.plain_serializer_function_ser_schema(str),
        )


def _length(seconds: float) -> timedelta:
    """That many seconds; ValueError where no time is that long."""
    try:
        return timedelta(seconds=seconds)
    except OverflowError:
        raise ValueError(
            f"found {seconds:g} seconds; expected less than 2.7 million years"
        ) from None
