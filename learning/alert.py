"""What an alert is, how long its repeats are held back, and what it may not carry."""

from __future__ import annotations

import math
import re
import unicodedata
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

Severity: TypeAlias = Literal["info", "good", "warning", "critical"]
FieldValue: TypeAlias = str | float | int
Verdict: TypeAlias = Literal["new", "still_open", "repeat", "nothing"]

TITLE_LENGTH = 256
INCIDENT_LENGTH = 128
TEXT_LENGTH = 4096
ERROR_LENGTH = 300

HOUR = 3600.0
# Within this time of the last message, the same incident is counted instead of told again.
# A kind that is not listed is told every time.
COALESCE_SECONDS: dict[str, float] = {
    "batch_ingested": HOUR / 6,
    "batch_refused": HOUR / 6,
    "drift_found": 6 * HOUR,
    "performance_below_floor": 6 * HOUR,
    "all_well": 6 * HOUR,
    "failed": HOUR,
    "circuit_open": 6 * HOUR,
    "bundle_refused": 6 * HOUR,
}
# An incident that was declared over may be told again this soon, or a flapping one would
# fill the channel, and a calm message would stand for hours over a trouble that is back.
REOPEN_SECONDS = HOUR / 2
# Which kinds end which: the newest of two opposites is what the reader believes.
OPPOSITES: dict[str, tuple[str, ...]] = {
    "drift_found": ("all_well",),
    "performance_below_floor": ("all_well",),
    "all_well": ("drift_found", "performance_below_floor"),
    "failed": ("recovered",),
    "recovered": ("failed",),
}
LASTING = frozenset(
    {"drift_found", "performance_below_floor", "failed", "circuit_open", "bundle_refused"}
)

_QUOTED = re.compile(r"(?<!\w)'[^']*'|\"[^\"]*\"|`[^`]*`")
_FOUND = re.compile(r"(?i)\b(found|got|value)\b[:=\s]\s*(?:[-+]?\.?\d[\w.:+-]*|nan|none|inf)")
_WEB = re.compile(r"\b[a-z][a-z0-9+.-]*://\S+", re.IGNORECASE)
_LAST_OF_TRACEBACK = re.compile(r"^\w[\w.]*(?:Error|Exception|Warning|Exit|Interrupt)\b")


@dataclass(frozen=True)
class Alert:
    """One thing that happened to a person's model, in words.

    ``incident`` names what lasts while it repeats (a champion that drifts, a flow that fails);
    None is told every time. Texts lose control characters and lone surrogates on the way in,
    because neither PostgreSQL nor a chat can take them.
    """

    kind: str
    severity: Severity
    title: str
    text: str
    fields: dict[str, FieldValue] = field(default_factory=dict)
    incident: str | None = None

    def __post_init__(self) -> None:
        set_field = object.__setattr__
        set_field(self, "title", clean(self.title)[:TITLE_LENGTH])
        lines = (clean(line) for line in self.text.splitlines())
        set_field(self, "text", "\n".join(lines)[:TEXT_LENGTH])
        set_field(self, "fields", {clean(k): _clean_field(v) for k, v in self.fields.items()})
        if self.incident is not None:
            set_field(self, "incident", clean(self.incident)[:INCIDENT_LENGTH])


def clean(text: str) -> str:
    """The text on one line: control, format and surrogate characters become single spaces."""
    kept = (" " if unicodedata.category(char)[0] == "C" else char for char in text)
    return " ".join("".join(kept).split())


def _clean_field(value: FieldValue) -> FieldValue:
    if isinstance(value, str):
        return clean(value)
    return value if math.isfinite(value) else "n/a"


def without_values(text: str) -> str:
    """The text on one line with quoted parts, found values and addresses replaced by ``…``.

    Messages of parsers and databases repeat the cell they choked on; a chat must not.
    """
    text = _WEB.sub("…", clean(text))
    text = _QUOTED.sub("…", text)
    return _FOUND.sub(r"\1 …", text).strip()


def one_line_error(error: str) -> str:
    """The line of an error that says what went wrong: no traceback, no values, 300 characters."""
    lines = [line.strip() for line in error.splitlines() if line.strip()]
    if not lines:
        return "no message"
    line = lines[0]
    if line.startswith("Traceback"):
        named = [text for text in lines[1:] if _LAST_OF_TRACEBACK.match(text)]
        line = named[-1] if named else "an error without a message"
    # SQLAlchemy appends the statement with its parameters.
    line = line.split("[SQL:")[0].split("[parameters:")[0]
    return without_values(line)[:ERROR_LENGTH]


def judge(kind: str, age_seconds: float | None, is_turned: bool) -> Verdict:
    """What to do with an alert, by the age of the last message of its incident (None: none yet).

    ``is_turned`` says that the opposite was told since that message: calm after trouble, or
    trouble after calm. A message from the future, after the clock went back, counts by its
    distance, so that a stepped clock silences nothing for longer than the window.
    """
    if kind == "recovered":
        return "new" if is_turned else "nothing"
    if age_seconds is None:
        return "new"
    window = COALESCE_SECONDS.get(kind, 0.0)
    allowed = window
    if is_turned:
        allowed = 0.0 if kind == "all_well" else min(window, REOPEN_SECONDS)
    if abs(age_seconds) < allowed:
        return "repeat"
    if kind in LASTING and not is_turned and abs(age_seconds) < 2 * window:
        return "still_open"
    return "new"
