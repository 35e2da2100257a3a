"""Posts to a Discord webhook; the only importer of discord-webhook."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from tasks.sending import (
    NO_ADDRESS,
    Link,
    Message,
    Outcome,
    SwitchedOff,
    bounded,
    is_web_address,
    web_outcome,
)

SETTING = "DISCORD_WEBHOOK_URL"
COLOURS = {"info": 0x3498DB, "good": 0x2ECC71, "warning": 0xF1C40F, "critical": 0xE74C3C}
TITLE_LENGTH, DESCRIPTION_LENGTH, FOOTER_LENGTH = 256, 4096, 256
FIELD_NAME_LENGTH, FIELD_VALUE_LENGTH, MOST_FIELDS = 256, 1024, 25
TOTAL_LENGTH = 6000
PICTURE = "metric.png"

# Markdown, mentions (<@id>, @everyone), emoji (:name:) and bare links (https:).
_MARKDOWN = re.compile(r"([\\*_~`|<>\[\]()#@:-])")
# What would end a link's address, or the address itself.
_UNSAFE = re.compile(r"[\s()<>\[\]\\\"'`]")


class DiscordSender:
    """A webhook of a Discord channel."""

    name = "discord"

    def __init__(self, url: str) -> None:
        self.identity = url

    def send(self, message: Message, timeout_seconds: float) -> Outcome:
        """What Discord said to one alert; never raises."""
        if not is_web_address(self.identity):
            return SwitchedOff(f"{SETTING} {NO_ADDRESS}")
        return bounded(lambda: self._post(message, timeout_seconds), timeout_seconds)

    def _post(self, message: Message, timeout_seconds: float) -> Outcome:
        from discord_webhook import DiscordWebhook

        webhook = DiscordWebhook(
            self.identity,
            username="Perennial",
            embeds=[compose(message)],
            allowed_mentions={"parse": []},
            timeout=timeout_seconds,
        )
        if message.picture is not None:
            webhook.add_file(file=message.picture, filename=PICTURE)
        # Not `execute`: it decodes an empty body as JSON, and with `rate_limit_retry` it
        # sleeps as long as the server says, without bound.
        answer: Any = webhook.api_post_request()
        status = int(answer.history[0].status_code if answer.history else answer.status_code)
        retry_after = answer.headers.get("Retry-After")
        return web_outcome("Discord", SETTING, status, retry_after, answer.content)


def compose(message: Message) -> dict[str, Any]:
    """The embed for an alert: escaped, and within Discord's lengths one by one and in sum."""
    entry = message.entry
    alert = entry.alert
    footer = cut(f"{entry.problem} · {entry.event_id}", FOOTER_LENGTH)
    title = cut(escape(alert.title), TITLE_LENGTH)
    description = cut(escape(alert.text), DESCRIPTION_LENGTH)
    links = linked(message.links)
    left = TOTAL_LENGTH - sum(length(part) for part in (title, description, footer))
    left -= length(links) + len("Look at")
    shown = dict(alert.fields)
    if entry.repeats and entry.phase != "closed":
        shown["Happened again"] = f"{entry.repeats} times before this was sent"
    fields = []
    for name, value in list(shown.items())[: MOST_FIELDS - bool(links)]:
        label = cut(escape(name), FIELD_NAME_LENGTH) or "–"
        content = cut(escape(str(value)), FIELD_VALUE_LENGTH) or "–"
        left -= length(label) + length(content)
        if left < 0:
            break
        fields.append({"name": label, "value": content, "inline": len(content) <= 40})
    if links:
        fields.append({"name": "Look at", "value": links, "inline": False})
    embed = {
        "title": title or "–",
        "description": description or "–",
        "color": COLOURS[alert.severity],
        "timestamp": entry.created_at.isoformat(),
        "footer": {"text": footer},  # plain: Discord shows no markdown here
        "fields": fields,
    }
    if message.picture is not None:
        embed["image"] = {"url": f"attachment://{PICTURE}"}
    return embed


def linked(links: Sequence[Link]) -> str:
    """The links as Discord shows them, those that fit; their addresses are our settings'."""
    shown: list[str] = []
    for link in links:
        text = f"[{escape(link.label)}]({_UNSAFE.sub(_quoted, link.url)})"
        if length(" · ".join([*shown, text])) <= FIELD_VALUE_LENGTH:
            shown.append(text)
    return " · ".join(shown)


def _quoted(found: re.Match[str]) -> str:
    return "".join(f"%{byte:02X}" for byte in found[0].encode())


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
