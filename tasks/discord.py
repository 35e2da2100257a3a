"""One post to a Discord webhook; the only importer of discord-webhook."""

from __future__ import annotations

import contextlib
import json
import math
import queue
import re
import threading
from dataclasses import dataclass
from typing import Any, TypeAlias
from urllib.parse import urlsplit

from storage.outbox import Entry

COLOURS = {"info": 0x3498DB, "good": 0x2ECC71, "warning": 0xF1C40F, "critical": 0xE74C3C}
TITLE_LENGTH, DESCRIPTION_LENGTH, FOOTER_LENGTH = 256, 4096, 256
FIELD_NAME_LENGTH, FIELD_VALUE_LENGTH, MOST_FIELDS = 256, 1024, 25
TOTAL_LENGTH = 6000

TIMEOUT_SECONDS = 5.0
DEFAULT_RETRY_AFTER_SECONDS = 60.0
LONGEST_RETRY_AFTER_SECONDS = 86_400.0

# Markdown, mentions (<@id>, @everyone), emoji (:name:) and bare links (https:).
_MARKDOWN = re.compile(r"([\\*_~`|<>\[\]()#@:-])")


@dataclass(frozen=True)
class Sent:
    """Discord took the message."""


@dataclass(frozen=True)
class RetryAfter:
    """Discord asks to wait; nothing may be sent through this webhook before."""

    seconds: float


@dataclass(frozen=True)
class Refused:
    """Discord will not take it, however often; ``status`` 0: the address is not a web address."""

    status: int


@dataclass(frozen=True)
class Failed:
    """It is not known that Discord took it; ``error`` never holds the address."""

    error: str


Outcome: TypeAlias = Sent | RetryAfter | Refused | Failed


def send(url: str, entry: Entry, timeout_seconds: float = TIMEOUT_SECONDS) -> Outcome:
    """What Discord said to one alert; never raises.

    The post runs in a thread of its own that is left behind after twice ``timeout_seconds``:
    the HTTP timeout starts anew with each byte, so a dripping answer would never end.
    """
    try:
        address = urlsplit(url)
        if address.scheme not in {"http", "https"} or not address.hostname:
            return Refused(0)
    except ValueError:
        return Refused(0)
    answers: queue.SimpleQueue[Outcome] = queue.SimpleQueue()
    worker = threading.Thread(
        target=lambda: answers.put(_post(url, entry, timeout_seconds)), daemon=True
    )
    worker.start()
    try:
        return answers.get(timeout=2 * timeout_seconds)
    except queue.Empty:
        return Failed(f"no whole answer within {2 * timeout_seconds:g} s")


def compose(entry: Entry) -> dict[str, Any]:
    """The embed for an alert: escaped, and within Discord's lengths one by one and in sum."""
    alert = entry.alert
    footer = cut(f"{entry.problem} · {entry.event_id}", FOOTER_LENGTH)
    title = cut(escape(alert.title), TITLE_LENGTH)
    description = cut(escape(alert.text), DESCRIPTION_LENGTH)
    left = TOTAL_LENGTH - sum(length(part) for part in (title, description, footer))
    shown = dict(alert.fields)
    if entry.repeats:
        shown["Happened again"] = f"{entry.repeats} times before this was sent"
    fields = []
    for name, value in list(shown.items())[:MOST_FIELDS]:
        label = cut(escape(name), FIELD_NAME_LENGTH) or "–"
        content = cut(escape(str(value)), FIELD_VALUE_LENGTH) or "–"
        left -= length(label) + length(content)
        if left < 0:
            break
        fields.append({"name": label, "value": content, "inline": len(content) <= 40})
    return {
        "title": title or "–",
        "description": description or "–",
        "color": COLOURS[alert.severity],
        "timestamp": entry.created_at.isoformat(),
        "footer": {"text": footer},  # plain: Discord shows no markdown here
        "fields": fields,
    }


def escape(text: str) -> str:
    """The text as Discord shows it literally: no formatting, mention, emoji or link."""
    return _MARKDOWN.sub(r"\\\1", text)


def length(text: str) -> int:
    """The length in UTF-16 units, the strictest way in which Discord may count."""
    return len(text.encode("utf-16-le", "replace")) // 2


def cut(text: str, limit: int) -> str:
    """The text, or its beginning and an ellipsis, within ``limit`` UTF-16 units."""
    if length(text) <= limit:
        return text
    units = text.encode("utf-16-le", "replace")[: 2 * (limit - 1)]
    kept = units.decode("utf-16-le", "ignore")
    if (len(kept) - len(kept.rstrip("\\"))) % 2:
        kept = kept[:-1]  # half of an escaped character
    return kept + "…"


def _post(url: str, entry: Entry, timeout_seconds: float) -> Outcome:
    try:
        from discord_webhook import DiscordWebhook

        webhook = DiscordWebhook(
            url,
            username="Perennial",
            embeds=[compose(entry)],
            allowed_mentions={"parse": []},
            timeout=timeout_seconds,
        )
        # Not `execute`: it decodes an empty body as JSON, and with `rate_limit_retry` it
        # sleeps as long as the server says, without bound.
        return _outcome(webhook.api_post_request())
    except Exception as error:  # whatever it is, an alert must not stop the loop
        name = type(error).__name__
        return Failed(f"no answer within {timeout_seconds:g} s" if "Timeout" in name else name)


def _outcome(response: Any) -> Outcome:
    status = int(response.status_code)
    if response.history:
        # A redirected POST arrives as a GET, which Discord answers with 200 and posts nothing.
        return Refused(int(response.history[0].status_code))
    if 200 <= status < 300:
        return Sent()
    if status == 429:
        return RetryAfter(_retry_after(response.headers.get("Retry-After"), response.content))
    if status >= 500 or status == 408:
        return Failed(f"Discord answered {status}")
    return Refused(status)


def _retry_after(header: str | None, body: bytes) -> float:
    """The longer of what header (whole seconds) and body (exact) say; a minute if neither does."""
    said: list[Any] = [header]
    with contextlib.suppress(ValueError, KeyError, TypeError, RecursionError):
        said.append(json.loads(body)["retry_after"])  # its proxy answers with a page instead
    seconds = []
    for value in said:
        try:
            seconds.append(float(value))
        except (ValueError, TypeError, OverflowError):
            continue
    usable = [value for value in seconds if math.isfinite(value) and value >= 0]
    return min(max(usable, default=DEFAULT_RETRY_AFTER_SECONDS), LONGEST_RETRY_AFTER_SECONDS)
