"""What an alert is, how long its repeats are held back, and what it may not carry."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

Severity: TypeAlias = Literal["info", "good", "warning", "critical"]
FieldValue: TypeAlias = str | float | int
# A message tells of one event, or of an incident: what lasts until something closes it.
Phase: TypeAlias = Literal["event", "opened", "worse", "still_open", "closed"]
Verdict: TypeAlias = Phase | Literal["repeat", "nothing"]

TITLE_LENGTH = 256
INCIDENT_LENGTH = 128
TEXT_LENGTH = 4096
ERROR_LENGTH = 300

HOUR = 3600.0
# Within this time of the last message, the same event is counted instead of told again.
# A kind that is not listed is told every time.
COALESCE_SECONDS: dict[str, float] = {
    "batch_ingested": HOUR / 6,
    "batch_refused": HOUR / 6,
    "labels_doubted": 6 * HOUR,
    "labels_contradict": 6 * HOUR,
    "all_well": 6 * HOUR,
    "bundle_refused": 6 * HOUR,
}
# What lasts, by the kind that closes it.
CLOSES: dict[str, str] = {
    "drift_over": "drift_found",
    "performance_recovered": "performance_below_floor",
    "recovered": "failed",
    "source_recovered": "source_failed",
    "champion_whole": "champion_damaged",
    "circuit_closed": "circuit_open",
    "errors_over": "errors_high",
}
LASTING = frozenset(CLOSES.values())
OPEN: frozenset[Phase] = frozenset({"opened", "worse", "still_open"})
# Calm is not told while one of these is open.
TROUBLE = ("drift_found", "performance_below_floor")
STILL_OPEN_SECONDS = 6 * HOUR
# An incident that was declared over may be told again this soon, or a flapping one would
# fill the channel, and a calm message would stand for hours over a trouble that is back.
REOPEN_SECONDS = HOUR / 2

_QUOTED = re.compile(r"(?<!\w)'[^']*'|\"[^\"]*\"|`[^`]*`")
_FOUND = re.compile(r"(?i)\b(found|got|value)\b[:=\s]\s*(?:[-+]?\.?\d[\w.:+-]*|nan|none|inf)")
_WEB = re.compile(r"\b[a-z][a-z0-9+.-]*://\S+", re.IGNORECASE)
_LAST_OF_TRACEBACK = re.compile(r"^\w[\w.]*(?:Error|Exception|Warning|Exit|Interrupt)\b")


@dataclass(frozen=True)
class Alert:
    """One thing that happened to a person's model, in words.

    ``incident`` names what repeats (inputs that drift, a flow that fails); None is told every
    time. ``level`` says how bad it is, and a rise by ``step`` above what was last told is told as
    worse; step 0 never is. Texts lose control characters and lone surrogates on the way in,
    because neither PostgreSQL nor a chat can take them.
    """

    kind: str
    severity: Severity
    title: str
    text: str
    fields: dict[str, FieldValue] = field(default_factory=dict)
    incident: str | None = None
    level: float = 0.0
    step: float = 0.0

    def __post_init__(self) -> None:
        set_field = object.__setattr__
        set_field(self, "title", clean(self.title)[:TITLE_LENGTH])
        lines = (clean(line) for line in self.text.splitlines())
        set_field(self, "text", "\n".join(lines)[:TEXT_LENGTH])
        set_field(self, "fields", {clean(k): _clean_field(v) for k, v in self.fields.items()})
        if not math.isfinite(self.level):
            set_field(self, "level", 0.0)
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


def without_values(text: str, names: Collection[str] = ()) -> str:
    """The text on one line with quoted parts, found values and addresses replaced by ``…``.

    Messages of parsers and databases repeat the cell they choked on; a chat must not. A quoted
    part that is one of ``names`` (the columns of the problem) stays, since it tells nothing that
    the schema does not.
    """

    def hide(quoted: re.Match[str]) -> str:
        return quoted[0] if quoted[0][1:-1] in names else "…"

    text = _WEB.sub("…", clean(text))
    text = _QUOTED.sub(hide, text)
    return _FOUND.sub(r"\1 …", text).strip()


def one_line_error(error: str, names: Collection[str] = ()) -> str:
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
    return without_values(line, names)[:ERROR_LENGTH]


@dataclass(frozen=True)
class Told:
    """The last message of an incident; a message from the future has a negative age."""

    phase: Phase
    age_seconds: float
    level: float = 0.0


def chain(kind: str) -> tuple[str, ...]:
    """The kinds whose messages tell of the same incident as this kind's."""
    opening = CLOSES.get(kind, kind)
    return (opening, *(closing for closing, opened in CLOSES.items() if opened == opening))


def judge(
    alert: Alert, last: Told | None, still_open_seconds: float = STILL_OPEN_SECONDS
) -> Verdict:
    """What an alert is told as, after the last message of its incident (None: none yet).

    After the clock went back a message counts by its distance, so that a stepped clock silences
    nothing for longer than the window.
    """
    if alert.kind in CLOSES:
        return "closed" if last is not None and last.phase in OPEN else "nothing"
    if alert.kind in LASTING:
        return _judge_lasting(alert, last, still_open_seconds)
    window = COALESCE_SECONDS.get(alert.kind, 0.0)
    return "repeat" if last is not None and abs(last.age_seconds) < window else "event"


def _judge_lasting(alert: Alert, last: Told | None, still_open_seconds: float) -> Verdict:
    if last is None or last.phase == "event":
        return "opened"
    age = abs(last.age_seconds)
    if last.phase == "closed":
        return "repeat" if age < min(REOPEN_SECONDS, still_open_seconds) else "opened"
    if alert.step > 0 and alert.level >= last.level + alert.step:
        return "worse"
    return "repeat" if age < still_open_seconds else "still_open"
