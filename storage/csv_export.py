"""Values from data as cells of a CSV file that a spreadsheet may open."""

from __future__ import annotations

import re
from typing import Any

# A cell that begins so is a formula to a spreadsheet, or hides one behind white space.
_STARTS_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?")


def neutral(value: Any) -> Any:
    """The value; a text that a spreadsheet would run is led by an apostrophe."""
    if isinstance(value, str) and value.startswith(_STARTS_FORMULA):
        return f"'{value}"
    return value


def neutral_text(value: Any) -> Any:
    """Like `neutral` for columns read as text, where a signed number is what it says."""
    return value if isinstance(value, str) and _NUMBER.fullmatch(value) else neutral(value)
