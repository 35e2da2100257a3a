"""Tell people what waits in the outbox: through Discord, or by the log where there is none."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass
from datetime import datetime, timedelta

from loguru import logger
from sqlalchemy import Connection, Engine

from storage import channels, outbox
from storage.database import reading, writing
from storage.outbox import Entry
from tasks.discord import TIMEOUT_SECONDS, Failed, Outcome, Refused, RetryAfter, Sent, send

CHANNEL = "discord"
BUDGET_SECONDS = 20.0
SHORTEST_TIMEOUT_SECONDS = 0.2
# While one process sends an alert, others leave it alone for this long.
CLAIM_SECONDS = 60.0
FIRST_BACKOFF_SECONDS = 30.0
LONGEST_BACKOFF_SECONDS = 1800.0
# Tries of one alert, two to three hours in all.
MOST_ATTEMPTS = 12
LOGGED_AT_ONCE = 200

SWITCHED_OFF = {
    0: "is not a web address",
    401: "was refused (401): the token is wrong",
    403: "was refused (403): posting is forbidden",
    404: "was refused (404): the webhook does not exist any more",
}
REDIRECTED = "answers with a redirect; use the address that Discord shows"
LOG_LEVELS = {"info": "INFO", "good": "INFO", "warning": "WARNING", "critical": "ERROR"}


@dataclass(frozen=True)
class Delivered:
    """What one delivery did; ``disabled_reason`` is set while the channel is switched off."""

    sent: int = 0
    logged: int = 0
    waiting: int = 0
    disabled_reason: str | None = None


def deliver(
    engine: Engine,
    webhook_url: str | None,
    now: datetime,
    budget_seconds: float = BUDGET_SECONDS,
) -> Delivered:
    """Tell what is due, oldest first per problem, within ``budget_seconds``; never raises.

    What cannot be told now waits; the next call goes on with it. No call sleeps.
    """
    try:
        if not webhook_url:
            return _log_all(engine, now, None)
        return _send_all(engine, webhook_url, now, budget_seconds)
    except Exception as error:  # alerts never delay or fail the loop
        logger.warning("alerts could not be delivered: {}", type(error).__name__)
        return Delivered()


def backoff_seconds(event_id: str, attempts: int) -> float:
    """How long to wait after the ``attempts``-th failure: doubling, capped, half of it jitter.

    The jitter is drawn from the event's id, so it differs between alerts but not between runs.
    """
    whole = min(FIRST_BACKOFF_SECONDS * 2.0 ** (attempts - 1), LONGEST_BACKOFF_SECONDS)
    digest = hashlib.sha256(f"{event_id}:{attempts}".encode()).digest()
    return whole * (0.5 + 0.5 * int.from_bytes(digest[:4], "big") / 2**32)


def _send_all(engine: Engine, url: str, now: datetime, budget_seconds: float) -> Delivered:
    with writing(engine) as connection:
        channel = channels.open_channel(connection, CHANNEL, url, now)
    if not channel.is_enabled:
        return _log_all(engine, now, channel.reason)
    started, sent = time.monotonic(), 0
    while True:
        elapsed = time.monotonic() - started
        # `send` takes up to twice its timeout.
        timeout = min(TIMEOUT_SECONDS, (budget_seconds - elapsed) / 2)
        if timeout < SHORTEST_TIMEOUT_SECONDS:
            break
        entry = _claim_next(engine, now + timedelta(seconds=elapsed))
        if entry is None:
            break
        outcome = send(url, entry, timeout)
        answered_at = now + timedelta(seconds=time.monotonic() - started)
        if off := _settle(engine, entry, outcome, answered_at):
            return _log_all(engine, answered_at, off, sent)
        sent += isinstance(outcome, Sent)
    with reading(engine) as connection:
        return Delivered(sent=sent, waiting=outbox.count_waiting(connection))


def _claim_next(engine: Engine, at: datetime) -> Entry | None:
    with writing(engine) as connection:
        channel = channels.find_channel(connection, CHANNEL)
        if channel is None or not channel.is_enabled or channel.is_paused(at):
            return None  # another process may have been told to wait meanwhile
        for entry in outbox.due(connection, at, limit=1):
            if outbox.claim(connection, entry, at + timedelta(seconds=CLAIM_SECONDS)):
                return entry
    return None


def _settle(engine: Engine, entry: Entry, outcome: Outcome, at: datetime) -> str | None:
    """Write down what became of an alert; the reason when the channel is now switched off."""
    with writing(engine) as connection:
        match outcome:
            case Sent():
                outbox.mark_sent(connection, entry.id, at)
            case RetryAfter(seconds):
                # Being told to wait is no failed try: it does not count against the alert.
                _postpone(connection, entry, at + timedelta(seconds=seconds), "asked to wait", 0)
            case Failed(error) if entry.attempts + 1 < MOST_ATTEMPTS:
                wait = timedelta(seconds=backoff_seconds(entry.event_id, entry.attempts + 1))
                _postpone(connection, entry, at + wait, error, 1)
            case Failed(error):
                _drop(connection, entry, error)
            case Refused(status) if status in SWITCHED_OFF or 300 <= status < 400:
                reason = f"DISCORD_WEBHOOK_URL {SWITCHED_OFF.get(status, REDIRECTED)}"
                channels.disable_channel(connection, CHANNEL, reason, at)
                logger.error("Discord is switched off until its address changes: {}", reason)
                return reason
            case Refused(status):
                _drop(connection, entry, f"Discord answered {status}")
    return None


def _postpone(
    connection: Connection, entry: Entry, until: datetime, error: str, n_attempts: int
) -> None:
    outbox.mark_retry(connection, entry.id, until, error, n_attempts)
    # The whole channel waits: what ails one post ails the next, and the order stays.
    channels.pause_channel(connection, CHANNEL, until)


def _drop(connection: Connection, entry: Entry, error: str) -> None:
    if outbox.mark_dropped(connection, entry.id, error):
        _log(entry, f"not sent, {error}")


def _log_all(engine: Engine, now: datetime, why: str | None, sent: int = 0) -> Delivered:
    n_logged = 0
    while entries := _mark_logged(engine, now, why):
        for entry in entries:
            _log(entry, None)
        n_logged += len(entries)
    return Delivered(sent=sent, logged=n_logged, disabled_reason=why)


def _mark_logged(engine: Engine, now: datetime, why: str | None) -> list[Entry]:
    with writing(engine) as connection:
        waiting = outbox.due(connection, None, LOGGED_AT_ONCE)
        return [entry for entry in waiting if outbox.mark_logged(connection, entry.id, now, why)]


def _log(entry: Entry, why: str | None) -> None:
    alert = entry.alert
    bound = logger.bind(event_id=entry.event_id, problem=entry.problem, kind=alert.kind)
    tail = f" ({why})" if why else ""
    bound.log(LOG_LEVELS[alert.severity], "{}: {}{}", alert.title, alert.text, tail)
