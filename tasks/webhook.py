"""Posts alerts as JSON to any web address, signed where a secret is set."""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import Any

import httpx

from tasks.sending import (
    NO_ADDRESS,
    Message,
    Outcome,
    SwitchedOff,
    bounded,
    is_web_address,
    web_outcome,
)

SETTING = "PERENNIAL_WEBHOOK_URL"
MOST_BYTES = 64 * 1024


class WebhookSender:
    """A web address that takes JSON."""

    name = "webhook"

    def __init__(self, url: str, secret: str | None = None) -> None:
        self.url = url
        self.secret = secret

    @property
    def identity(self) -> str:
        """The address and the secret: another of either switches the channel on again."""
        return f"{self.url}\n{self.secret or ''}"

    def send(self, message: Message, timeout_seconds: float) -> Outcome:
        """What the address said to one alert; never raises."""
        if not is_web_address(self.url):
            return SwitchedOff(f"{SETTING} {NO_ADDRESS}")
        return bounded(lambda: self._post(message, timeout_seconds), timeout_seconds)

    def _post(self, message: Message, timeout_seconds: float) -> Outcome:
        body = json.dumps(document(message), ensure_ascii=True, allow_nan=False).encode()
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "perennial",
            "Idempotency-Key": message.entry.event_id.encode("ascii", "replace").decode(),
        }
        if self.secret:
            headers["X-Perennial-Signature"] = signature(body, self.secret)
        request = {"content": body, "headers": headers, "timeout": timeout_seconds}
        with httpx.stream("POST", self.url, follow_redirects=False, **request) as answer:  # type: ignore[arg-type]
            said = b""
            for part in answer.iter_bytes():
                said += part
                if len(said) > MOST_BYTES:
                    break
            retry_after = answer.headers.get("Retry-After")
            return web_outcome("the webhook", SETTING, answer.status_code, retry_after, said)


def document(message: Message) -> dict[str, Any]:
    """The alert as programs read it."""
    entry, alert = message.entry, message.entry.alert
    return {
        "event_id": entry.event_id,
        "problem": entry.problem,
        "kind": alert.kind,
        "phase": entry.phase,
        "severity": alert.severity,
        "incident": alert.incident,
        "title": alert.title,
        "text": alert.text,
        "fields": alert.fields,
        "repeats": entry.repeats,
        "created_at": entry.created_at.isoformat(),
        "clock": None if entry.clock is None else entry.clock.isoformat(),
        "links": {link.label: link.url for link in message.links},
    }


def signature(body: bytes, secret: str) -> str:
    """``sha256=`` and the HMAC of the body, for the header ``X-Perennial-Signature``."""
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
