"""Delivery against a Discord that answers, limits, refuses, hangs, drips and dies."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from loguru import logger
from sqlalchemy import Engine

from learning import alert_text as say
from learning.alert import Alert
from storage import channels, deliveries, outbox
from storage.database import open_engine, reading, writing
from storage.deliveries import Delivery
from storage.outbox import Entry
from storage.tables import metadata
from tasks.alerts import MOST_ATTEMPTS, Delivered, backoff_seconds
from tasks.alerts import deliver as deliver_all
from tasks.discord import DiscordSender
from tests.fakes.discord import (
    DIE,
    DRIP,
    HANG,
    OK,
    RESET,
    Answer,
    FakeDiscord,
    limited,
    redirect,
    refusal,
    running_discord,
)

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
DAY = timedelta(days=1)


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    """SQLite alone: delivery adds no SQL of its own."""
    opened = open_engine(f"sqlite:///{tmp_path / 'perennial.db'}")
    metadata.create_all(opened)
    yield opened
    opened.dispose()


@pytest.fixture
def discord() -> Iterator[FakeDiscord]:
    with running_discord() as fake:
        yield fake


@pytest.fixture
def log_lines() -> Iterator[list[str]]:
    lines: list[str] = []
    sink = logger.add(
        lambda line: lines.append(str(line)), level="DEBUG", format="{level} {message}"
    )
    yield lines
    logger.remove(sink)


def post(engine: Engine, *event_ids: str, problem: str = "churn") -> None:
    for event_id in event_ids:
        alert = say.retrain_started(event_id, "a reason")
        with writing(engine) as connection:
            outbox.post(connection, problem, alert, event_id, NOW)


def deliver(
    engine: Engine, url: str | None, now: datetime, budget_seconds: float = 20.0
) -> Delivered:
    """Tell through Discord alone."""
    senders = [DiscordSender(url)] if url else []
    return deliver_all(engine, senders, now, budget_seconds)


def place(engine: Engine, number: int = 0, channel: str = "discord") -> Delivery:
    """The place of the alert with this number in a channel."""
    with reading(engine) as connection:
        found = deliveries.deliveries_of(connection, entries(engine)[number].id)
    return next(one for one in found if one.channel == channel)


def states(engine: Engine, problem: str = "churn") -> list[str]:
    return [entry.state for entry in entries(engine, problem)]


def entries(engine: Engine, problem: str = "churn") -> list[Entry]:
    with reading(engine) as connection:
        return outbox.latest(connection, problem, 1000)[::-1]


def title(event_id: str) -> str:
    return f"Retrain started\\: {event_id}"


def test_alerts_are_sent_oldest_first_and_once(engine: Engine, discord: FakeDiscord) -> None:
    post(engine, "e1", "e2", "e3")
    assert deliver(engine, discord.url, NOW) == Delivered(sent=3)
    assert deliver(engine, discord.url, NOW + DAY) == Delivered()
    assert discord.titles == [title("e1"), title("e2"), title("e3")]
    assert states(engine) == ["sent", "sent", "sent"]


def test_every_post_forbids_mentions_and_tells_problem_event_and_time(
    engine: Engine, discord: FakeDiscord
) -> None:
    post(engine, "e1")
    deliver(engine, discord.url, NOW)
    (payload,) = discord.payloads
    assert payload["allowed_mentions"] == {"parse": []}
    (embed,) = payload["embeds"]
    assert embed["footer"] == {"text": "churn · e1"}
    assert embed["timestamp"] == "2026-03-01T12:00:00+00:00"


def test_without_a_webhook_alerts_are_logged(engine: Engine, log_lines: list[str]) -> None:
    post(engine, "e1")
    alert = Alert("failed", "critical", "t {0}", "odd {braces}")
    with writing(engine) as connection:
        outbox.post(connection, "churn", alert, "e2", NOW)
    assert deliver(engine, None, NOW) == Delivered(logged=2)
    assert deliver(engine, "", NOW) == Delivered()
    assert [line.strip() for line in log_lines] == [
        "INFO Retrain started: e1: a reason. By itself: A challenger is being trained and must "
        "win at the gate. To do: Nothing.",
        "ERROR t {0}: odd {braces}",
    ]
    assert states(engine) == ["logged", "logged"]


@pytest.mark.parametrize(
    ("answer", "seconds"),
    [
        (limited(90.5), 91),
        (limited(90.5, via=False), 91),
        (limited(120, via=False, in_body=False), 120),
        (Answer(429, b'{"retry_after": 7.5}'), 7.5),
        (Answer(429), 60),
        (Answer(429, b"[]", {"Retry-After": "soon"}), 60),
        (Answer(429, b'{"retry_after": NaN}', {"Retry-After": "-5"}), 60),
        (Answer(429, b'{"retry_after": 1e400}', {"Retry-After": "9" * 400}), 60),
        (Answer(429, b"{}", {"Retry-After": "99999999"}), 86_400),
    ],
)
def test_a_limit_silences_the_channel_for_as_long_as_it_says(
    engine: Engine, discord: FakeDiscord, answer: Answer, seconds: float
) -> None:
    discord.script = [answer]
    post(engine, "e1")
    post(engine, "other", problem="credit")
    assert deliver(engine, discord.url, NOW) == Delivered(waiting=2)
    early = NOW + timedelta(seconds=seconds) - SECOND
    assert deliver(engine, discord.url, early) == Delivered(waiting=2)
    assert len(discord.payloads) == 1
    late = NOW + timedelta(seconds=seconds + 30)
    assert deliver(engine, discord.url, late) == Delivered(sent=2)
    assert discord.titles == [title("e1"), title("e1"), title("other")]
    assert place(engine).attempts == 0


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (Answer(500), "Discord answered 500"),
        (Answer(502, b"<html>bad gateway</html>"), "Discord answered 502"),
        (refusal(503), "Discord answered 503"),
        (Answer(408), "Discord answered 408"),
        (DIE, "ChunkedEncodingError"),
        (RESET, "ConnectionError"),
        (HANG, "no "),
        (DRIP, "no "),
    ],
)
def test_a_failing_discord_is_tried_again_later_and_the_order_kept(
    engine: Engine, discord: FakeDiscord, answer: Answer, error: str
) -> None:
    discord.script = [answer]
    post(engine, "e1", "e2")
    budget = 0.5 if answer in (HANG, DRIP) else 20.0
    started = time.monotonic()
    assert deliver(engine, discord.url, NOW, budget) == Delivered(waiting=2)
    assert time.monotonic() - started < 8.0
    first = place(engine)
    assert first.attempts == 1
    assert first.last_error is not None
    assert first.last_error.startswith(error)
    assert deliver(engine, discord.url, NOW + 14 * SECOND) == Delivered(waiting=2)
    assert deliver(engine, discord.url, NOW + 60 * SECOND) == Delivered(sent=2)
    assert discord.titles == [title("e1"), title("e1"), title("e2")]


def test_an_unreachable_discord_is_a_failure_that_names_no_address(engine: Engine) -> None:
    with running_discord() as gone:
        url = gone.url
    post(engine, "e1")
    assert deliver(engine, url, NOW) == Delivered(waiting=1)
    assert place(engine).last_error == "ConnectionError"


def test_after_the_last_try_an_alert_is_dropped_and_logged_and_the_next_goes_on(
    engine: Engine, discord: FakeDiscord, log_lines: list[str]
) -> None:
    discord.script = [Answer(500)] * MOST_ATTEMPTS
    post(engine, "e1", "e2")
    for day in range(MOST_ATTEMPTS - 1):
        assert deliver(engine, discord.url, NOW + day * DAY) == Delivered(waiting=2)
    assert deliver(engine, discord.url, NOW + MOST_ATTEMPTS * DAY) == Delivered(sent=1)
    assert states(engine) == ["dropped", "sent"]
    assert "Retrain started: e1" in log_lines[-1]
    assert "(not sent by discord, Discord answered 500)" in log_lines[-1]


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (401, "DISCORD_WEBHOOK_URL was refused (401): the token is wrong"),
        (403, "DISCORD_WEBHOOK_URL was refused (403): posting is forbidden"),
        (404, "DISCORD_WEBHOOK_URL was refused (404): the webhook does not exist any more"),
    ],
)
def test_a_refused_webhook_is_switched_off_until_its_address_changes(
    engine: Engine, discord: FakeDiscord, log_lines: list[str], status: int, reason: str
) -> None:
    discord.script = [refusal(status, 10015)]
    post(engine, "e1", "e2")
    assert deliver(engine, discord.url, NOW) == Delivered(logged=2, off={"discord": reason})
    post(engine, "e3")
    off = deliver(engine, discord.url, NOW + DAY)
    assert off == Delivered(logged=1, off={"discord": reason})
    assert len(discord.payloads) == 1
    with reading(engine) as connection:
        channel = channels.find_channel(connection, "discord")
    assert channel is not None
    assert (channel.is_enabled, channel.reason) == (False, reason)
    assert all("fake-secret-token" not in line for line in log_lines)
    post(engine, "e4")
    assert deliver(engine, f"{discord.url}-new", NOW + DAY) == Delivered(sent=1)


def test_an_empty_refusal_is_understood(engine: Engine, discord: FakeDiscord) -> None:
    discord.script = [Answer(404)]
    post(engine, "e1")
    assert "404" in deliver(engine, discord.url, NOW).off["discord"]


def test_a_redirect_switches_off_because_nothing_was_posted(
    engine: Engine, discord: FakeDiscord
) -> None:
    discord.script = [redirect(discord.url)]
    post(engine, "e1")
    delivered = deliver(engine, discord.url, NOW)
    assert "redirect" in delivered.off["discord"]
    assert delivered.sent == 0


@pytest.mark.parametrize("url", ["discord", "ftp://x/y", "https://", "http://[bad", "file:///x"])
def test_what_is_no_web_address_switches_off(engine: Engine, url: str) -> None:
    post(engine, "e1")
    delivered = deliver(engine, url, NOW)
    reason = "DISCORD_WEBHOOK_URL is not a web address"
    assert delivered == Delivered(logged=1, off={"discord": reason})


def test_a_message_that_discord_refuses_is_dropped_alone(
    engine: Engine, discord: FakeDiscord
) -> None:
    discord.script = [refusal(400, 50035), OK]
    post(engine, "e1", "e2")
    assert deliver(engine, discord.url, NOW) == Delivered(sent=1)
    assert states(engine) == ["dropped", "sent"]
    assert place(engine).last_error == "Discord answered 400"


def test_a_hanging_discord_does_not_outlast_the_budget(
    engine: Engine, discord: FakeDiscord
) -> None:
    discord.script = [DRIP] * 5
    post(engine, "e1", "e2", "e3")
    started = time.monotonic()
    deliver(engine, discord.url, NOW, budget_seconds=1.0)
    assert time.monotonic() - started < 5.0


def test_an_alert_that_another_process_is_sending_is_left_alone(
    engine: Engine, discord: FakeDiscord
) -> None:
    post(engine, "e1", "e2")
    with writing(engine) as connection:
        first = deliveries.due(connection, "discord", NOW)[0]
        assert deliveries.claim(connection, first, NOW + 60 * SECOND)
    assert deliver(engine, discord.url, NOW) == Delivered(waiting=2)
    assert deliver(engine, discord.url, NOW + 60 * SECOND) == Delivered(sent=2)
    assert discord.titles == [title("e1"), title("e2")]


def test_a_database_that_is_gone_raises_nothing(tmp_path: Path, log_lines: list[str]) -> None:
    empty = open_engine(f"sqlite:///{tmp_path / 'empty.db'}")
    assert deliver(empty, "http://127.0.0.1:9/secret", NOW) == Delivered()
    assert deliver(empty, None, NOW) == Delivered()
    empty.dispose()
    assert log_lines == ["WARNING alerts could not be delivered: OperationalError\n"] * 2


def test_backoff_doubles_to_half_an_hour_and_its_jitter_differs_by_event() -> None:
    for attempts, whole in [(1, 30), (2, 60), (6, 960), (7, 1800), (12, 1800)]:
        assert whole / 2 <= backoff_seconds("e1", attempts) <= whole
    assert backoff_seconds("e1", 3) != backoff_seconds("e2", 3)
    assert backoff_seconds("e1", 3) == backoff_seconds("e1", 3)
