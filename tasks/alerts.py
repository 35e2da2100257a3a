"""Tell people what waits in the outbox: through each channel, or by the log where there is none."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from loguru import logger
from sqlalchemy import Connection, Engine

from learning.alert_rules import CHANNELS
from storage import channels, deliveries, outbox
from storage.database import reading, writing
from storage.deliveries import Delivery
from storage.kill_points import reach
from storage.outbox import Entry
from tasks.sending import (
    TIMEOUT_SECONDS,
    Dropped,
    Failed,
    Message,
    Outcome,
    RetryAfter,
    Sender,
    Sent,
    SwitchedOff,
)

BUDGET_SECONDS = 20.0
SHORTEST_TIMEOUT_SECONDS = 0.2
# While one process sends an alert, others leave it alone for this long.
CLAIM_SECONDS = 60.0
FIRST_BACKOFF_SECONDS = 30.0
LONGEST_BACKOFF_SECONDS = 1800.0
# Tries of one alert, two to three hours in all.
MOST_ATTEMPTS = 12
LOGGED_AT_ONCE = 200
LOG_LEVELS = {"info": "INFO", "good": "INFO", "warning": "WARNING", "critical": "ERROR"}

Compose = Callable[[Entry], Message]


@dataclass(frozen=True)
class Delivered:
    """What one delivery did: messages sent by all channels, alerts logged, alerts that wait.

    ``off`` has the reason of each channel that is switched off.
    """

    sent: int = 0
    logged: int = 0
    waiting: int = 0
    off: dict[str, str] = field(default_factory=dict)


def deliver(
    engine: Engine,
    senders: Sequence[Sender],
    now: datetime,
    budget_seconds: float = BUDGET_SECONDS,
    compose: Compose = Message,
) -> Delivered:
    """Tell what is due, oldest first per problem, within ``budget_seconds``; never raises.

    Each channel tells in a thread of its own, so that one that hangs holds up no other. What
    cannot be told now waits; the next call goes on with it. No call sleeps.
    """
    try:
        return _deliver(engine, senders, now, budget_seconds, compose)
    except Exception as error:  # alerts never delay or fail the loop
        logger.warning("alerts could not be delivered: {}", type(error).__name__)
        return Delivered()


def _deliver(
    engine: Engine,
    senders: Sequence[Sender],
    now: datetime,
    budget_seconds: float,
    compose: Compose,
) -> Delivered:
    with writing(engine) as connection:
        for name in set(CHANNELS) - {sender.name for sender in senders}:
            deliveries.switch_off(connection, name, None)
    posts = [_Post(engine, sender, now, budget_seconds, compose) for sender in senders]
    for post in posts[1:]:
        post.thread.start()
    if posts:
        posts[0].run()  # the usual one channel needs no thread
    for post in posts[1:]:
        post.thread.join()
    logged = _settle_all(engine)
    with reading(engine) as connection:
        waiting = outbox.count_waiting(connection)
    off = {post.sender.name: post.off for post in posts if post.off is not None}
    return Delivered(sum(post.n_sent for post in posts), logged, waiting, off)


class _Post:
    """One channel's part of a delivery."""

    def __init__(
        self,
        engine: Engine,
        sender: Sender,
        now: datetime,
        budget_seconds: float,
        compose: Compose,
    ) -> None:
        self.sender = sender
        self.n_sent = 0
        self.off: str | None = None
        self.thread = threading.Thread(target=self.run, name=f"tell-{sender.name}")
        self._engine = engine
        self._now = now
        self._started = time.monotonic()
        self._budget_seconds = budget_seconds
        self._compose = compose

    def run(self) -> None:
        """Tell what is due; never raises."""
        try:
            with writing(self._engine) as connection:
                name, identity = self.sender.name, self.sender.identity
                channel = channels.open_channel(connection, name, identity, self._now)
                if not channel.is_enabled:
                    self.off = channel.reason or "switched off"
                    deliveries.switch_off(connection, name, self.off)
            while self.off is None and self._tell_next():
                pass
        except Exception as error:  # another channel may still tell it
            kind = type(error).__name__
            logger.warning("alerts wait for {}: {}", self.sender.name, kind)

    def _tell_next(self) -> bool:
        # A sender takes up to twice its timeout.
        timeout = min(TIMEOUT_SECONDS, (self._budget_seconds - self._elapsed()) / 2)
        if timeout < SHORTEST_TIMEOUT_SECONDS:
            return False
        delivery = _claim_next(self._engine, self.sender.name, self._at())
        if delivery is None:
            return False
        reach("alert.claimed")
        outcome = self.sender.send(self._compose(delivery.entry), timeout)
        reach("alert.sent")
        self.off = _settle(self._engine, delivery, outcome, self._at())
        reach("alert.settled")
        self.n_sent += isinstance(outcome, Sent)
        return True

    def _elapsed(self) -> float:
        return time.monotonic() - self._started

    def _at(self) -> datetime:
        return self._now + timedelta(seconds=self._elapsed())


def backoff_seconds(event_id: str, attempts: int) -> float:
    """How long to wait after the ``attempts``-th failure: doubling, capped, half of it jitter.

    The jitter is drawn from the event's id, so it differs between alerts but not between runs.
    """
    whole = min(FIRST_BACKOFF_SECONDS * 2.0 ** (attempts - 1), LONGEST_BACKOFF_SECONDS)
    digest = hashlib.sha256(f"{event_id}:{attempts}".encode()).digest()
    return whole * (0.5 + 0.5 * int.from_bytes(digest[:4], "big") / 2**32)


def _claim_next(engine: Engine, name: str, at: datetime) -> Delivery | None:
    with writing(engine) as connection:
        channel = channels.find_channel(connection, name)
        if channel is None or not channel.is_enabled or channel.is_paused(at):
            return None  # another process may have been told to wait meanwhile
        for delivery in deliveries.due(connection, name, at, limit=1):
            if deliveries.claim(connection, delivery, at + timedelta(seconds=CLAIM_SECONDS)):
                return delivery
    return None


def _settle(engine: Engine, delivery: Delivery, outcome: Outcome, at: datetime) -> str | None:
    """Write down what became of an alert; the reason when the channel is now switched off."""
    n_tries, event_id = delivery.attempts + 1, delivery.entry.event_id
    with writing(engine) as connection:
        match outcome:
            case Sent():
                deliveries.mark_sent(connection, delivery, at)
            case RetryAfter(seconds):
                # Being told to wait is no failed try: it does not count against the alert.
                _postpone(connection, delivery, at + timedelta(seconds=seconds), "asked to wait", 0)
            case Failed(error) if n_tries < MOST_ATTEMPTS:
                wait = timedelta(seconds=backoff_seconds(event_id, n_tries))
                _postpone(connection, delivery, at + wait, error, 1)
            case Failed(error) | Dropped(error):
                if deliveries.mark_dropped(connection, delivery, error):
                    _log(delivery.entry, f"not sent by {delivery.channel}, {error}")
            case SwitchedOff(reason):
                channels.disable_channel(connection, delivery.channel, reason, at)
                deliveries.switch_off(connection, delivery.channel, reason)
                text = "{} is switched off until its settings change: {}"
                logger.error(text, delivery.channel, reason)
                return reason
    return None


def _postpone(
    connection: Connection, delivery: Delivery, until: datetime, error: str, n_attempts: int
) -> None:
    deliveries.mark_retry(connection, delivery, until, error, n_attempts)
    # The whole channel waits: what ails one post ails the next, and the order stays.
    channels.pause_channel(connection, delivery.channel, until)


def _settle_all(engine: Engine) -> int:
    """Sum up alerts that no channel has waiting any more; those told by none are logged."""
    n_logged = 0
    while True:
        with writing(engine) as connection:
            entries = outbox.unsettled(connection, LOGGED_AT_ONCE)
            settled = [(entry, deliveries.settle_alert(connection, entry)) for entry in entries]
        for entry, found in settled:
            if found is not None and found[0] == "logged":
                _log(entry, found[1])
                n_logged += 1
        if not any(found for _, found in settled):
            return n_logged


def _log(entry: Entry, why: str | None) -> None:
    alert = entry.alert
    bound = logger.bind(event_id=entry.event_id, problem=entry.problem, kind=alert.kind)
    tail = f" ({why})" if why else ""
    text = alert.text.replace("\n", " ")
    bound.log(LOG_LEVELS[alert.severity], "{}: {}{}", alert.title, text, tail)
