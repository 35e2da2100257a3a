"""What a channel is given, what it may answer, and how long anybody waits for it."""

from __future__ import annotations

import contextlib
import json
import math
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias
from urllib.parse import urlsplit

from storage.outbox import Entry

TIMEOUT_SECONDS = 5.0
DEFAULT_RETRY_AFTER_SECONDS = 60.0
LONGEST_RETRY_AFTER_SECONDS = 86_400.0
REFUSALS = {
    401: "was refused (401): the token is wrong",
    403: "was refused (403): posting is forbidden",
    404: "was refused (404): the webhook does not exist any more",
    410: "was refused (410): the webhook does not exist any more",
}
NO_ADDRESS = "is not a web address"


@dataclass(frozen=True)
class Link:
    """A page that tells more."""

    label: str
    url: str


@dataclass(frozen=True)
class Message:
    """An alert as it is told: with links, and a picture (PNG) where there is one."""

    entry: Entry
    links: tuple[Link, ...] = ()
    picture: bytes | None = None


@dataclass(frozen=True)
class Sent:
    """The channel took the message."""


@dataclass(frozen=True)
class RetryAfter:
    """The channel asks to wait; nothing may be sent through it before."""

    seconds: float


@dataclass(frozen=True)
class Failed:
    """It is not known that the channel took it; ``error`` never holds an address."""

    error: str


@dataclass(frozen=True)
class Dropped:
    """The channel will not take this message, however often; others it may."""

    error: str


@dataclass(frozen=True)
class SwitchedOff:
    """The channel takes nothing until its settings change; ``reason`` names the setting."""

    reason: str


Outcome: TypeAlias = Sent | RetryAfter | Failed | Dropped | SwitchedOff


class Sender(Protocol):
    """One way to reach a person."""

    name: str

    @property
    def identity(self) -> str:
        """The settings that make it this channel; a change switches it on again. Secret."""

    def send(self, message: Message, timeout_seconds: float) -> Outcome:
        """What the channel said to one alert; never raises, takes twice the timeout at most."""


def bounded(send: Callable[[], Outcome], timeout_seconds: float) -> Outcome:
    """What ``send`` came to, in a thread of its own that is left behind after twice the timeout.

    Timeouts of clients start anew with each byte, so a dripping answer would never end.
    """
    answers: queue.SimpleQueue[Outcome] = queue.SimpleQueue()

    def answer() -> None:
        try:
            answers.put(send())
        except Exception as error:  # whatever it is, an alert must not stop the loop
            name = type(error).__name__
            late = "Timeout" in name
            answers.put(Failed(f"no answer within {timeout_seconds:g} s" if late else name))

    threading.Thread(target=answer, daemon=True, name="alert").start()
    try:
        return answers.get(timeout=2 * timeout_seconds)
    except queue.Empty:
        return Failed(f"no whole answer within {2 * timeout_seconds:g} s")


def is_web_address(url: str) -> bool:
    """Whether a POST can be sent there at all."""
    try:
        address = urlsplit(url)
        return address.scheme in {"http", "https"} and bool(address.hostname)
    except ValueError:
        return False


def web_outcome(
    who: str, setting: str, status: int, retry_after: str | None, body: bytes
) -> Outcome:
    """What an HTTP answer means. A redirect is a refusal: a redirected POST arrives as a GET."""
    if 200 <= status < 300:
        return Sent()
    if status == 429:
        return RetryAfter(wait_seconds(retry_after, body))
    if status >= 500 or status == 408:
        return Failed(f"{who} answered {status}")
    if 300 <= status < 400:
        return SwitchedOff(f"{setting} answers with a redirect; use the address that {who} shows")
    if status in REFUSALS:
        return SwitchedOff(f"{setting} {REFUSALS[status]}")
    return Dropped(f"{who} answered {status}")


def wait_seconds(header: str | None, body: bytes) -> float:
    """The longer of what header (whole seconds) and body (exact) say; a minute if neither does."""
    said: list[Any] = [header]
    with contextlib.suppress(ValueError, KeyError, TypeError, RecursionError):
        said.append(json.loads(body)["retry_after"])  # a proxy answers with a page instead
    seconds = []
    for value in said:
        try:
            seconds.append(float(value))
        except (ValueError, TypeError, OverflowError):
            continue
    usable = [value for value in seconds if math.isfinite(value) and value >= 0]
    return min(max(usable, default=DEFAULT_RETRY_AFTER_SECONDS), LONGEST_RETRY_AFTER_SECONDS)
