"""How times, numbers and other people's texts are spelled on the pages."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

# What Markdown, Streamlit's own directives and formulas would take for more than text.
_SPECIAL = re.compile(r"([\\`*_{}\[\]()<>#+\-.!|~$:&@])")

# Colours that hold on light and on dark backgrounds.
OURS, BAND, MUTED = "#2f9e6e", "rgba(47,158,110,0.20)", "#8a94a6"
BAD, CAUTION, GOOD, CALM = "#d64545", "#d9902f", "#2f9e6e", "#4a7fd6"


def literal(text: object) -> str:
    """The text so that Markdown shows it as it is; only `words between backticks` stay code."""
    parts = str(text).replace("\n", " ").split("`")
    if len(parts) % 2 == 0:  # an odd backtick is no code
        return _SPECIAL.sub(r"\\\1", "`".join(parts))
    escaped = [_SPECIAL.sub(r"\\\1", part) for part in parts[::2]]
    codes = [f"`{code}`" if code else "" for code in parts[1::2]] + [""]
    return "".join(text for pair in zip(escaped, codes, strict=True) for text in pair)


def ago(moment: datetime | None, now: datetime | None = None) -> str:
    """How long ago a time was, in one unit; "never" for none, "in …" for times to come."""
    if moment is None:
        return "never"
    seconds = ((now or datetime.now(UTC)) - moment).total_seconds()
    if seconds < 0:
        return f"in {span(timedelta(seconds=-seconds))}"
    return "just now" if seconds < 1 else f"{span(timedelta(seconds=seconds))} ago"


def span(length: timedelta) -> str:
    """A length of time in its largest whole unit."""
    seconds = length.total_seconds()
    for name, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= size:
            return f"{int(seconds // size)} {name}"
    return f"{seconds:.0f} s" if seconds >= 1 else f"{seconds:.1f} s"


def clock(moment: datetime | None) -> str:
    """A time as the pages write it."""
    return "" if moment is None else f"{moment:%Y-%m-%d %H:%M:%S}"


def share(value: float | None) -> str:
    """A share as a percentage; a dash when unknown."""
    return "–" if value is None else f"{100 * value:.0f}%"


def amount(n: int) -> str:
    """A count with thin groups of thousands."""
    return f"{n:,}"
