"""What Discord is shown: escaped, and within its limits whatever an alert holds."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from learning.alert import Alert, Severity
from storage.outbox import Entry
from tasks.discord import DiscordSender, compose, cut, escape, length, linked
from tasks.sending import Link, Message, Sent
from tests.fakes.discord import running_discord

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def entry(alert: Alert, repeats: int = 0, event_id: str = "e1") -> Message:
    found = Entry(1, event_id, "churn", alert, "event", repeats, "waiting", None, NOW)
    return Message(found)


def test_markdown_mentions_emoji_and_links_are_shown_as_written() -> None:
    assert escape("**b** @everyone <@1> [x](https://y) :z:") == (
        r"\*\*b\*\* \@everyone \<\@1\> \[x\]\(https\://y\) \:z\:"
    )


def test_field_names_and_values_are_escaped_too() -> None:
    embed = compose(entry(Alert("k", "info", "a_b", "c_d", {"e_f": "g_h", "n": -1})))
    assert (embed["title"], embed["description"]) == (r"a\_b", r"c\_d")
    assert [(f["name"], f["value"]) for f in embed["fields"]] == [(r"e\_f", r"g\_h"), ("n", r"\-1")]


def test_repeats_before_sending_are_told() -> None:
    (shown,) = compose(entry(Alert("k", "info", "t", "x"), repeats=3))["fields"]
    assert (shown["name"], shown["value"]) == ("Happened again", "3 times before this was sent")


@pytest.mark.parametrize(
    ("severity", "colour"),
    [("info", 0x3498DB), ("good", 0x2ECC71), ("warning", 0xF1C40F), ("critical", 0xE74C3C)],
)
def test_each_severity_has_its_colour(severity: Severity, colour: int) -> None:
    assert compose(entry(Alert("k", severity, "t", "x")))["color"] == colour


def test_length_counts_utf_16_units() -> None:
    assert (length("ab"), length("é"), length("😀")) == (2, 1, 2)


def test_cutting_never_splits_a_character_or_an_escape() -> None:
    assert cut("abcd", 4) == "abcd"
    assert cut("abcde", 4) == "abc…"
    assert cut("a😀😀", 4) == "a😀…"
    assert cut("a😀😀😀", 5) == "a😀…"
    assert cut(r"ab\_cd", 4) == "ab…"
    assert cut(r"a\\bcd", 4) == r"a\\…"


@pytest.mark.parametrize("char", ["x", "_", "é", "😀", "\\", "\u202e", "\n"])
def test_an_oversized_alert_is_cut_to_what_discord_takes(char: str) -> None:
    fields = {f"{char * 300}{number}": char * 2000 for number in range(40)}
    alert = Alert("k", "warning", char * 999, char * 9000, {**fields, "": ""})
    with running_discord() as fake:
        assert DiscordSender(fake.url).send(entry(alert, event_id="e" * 500), 5.0) == Sent()
    embed = fake.payloads[0]["embeds"][0]
    texts = [embed["title"], embed["description"], embed["footer"]["text"]]
    texts += [text for shown in embed["fields"] for text in (shown["name"], shown["value"])]
    assert sum(length(text) for text in texts) <= 6000


def test_twenty_five_small_fields_are_all_that_is_shown() -> None:
    alert = Alert("k", "info", "t", "x", {f"f{number}": number for number in range(30)})
    assert len(compose(entry(alert))["fields"]) == 25


def test_links_are_shown_as_links_and_their_addresses_cannot_end_them() -> None:
    links = [Link("Drift report", "http://127.0.0.1:8000/a"), Link("x_y", "http://h/a) [b](c")]
    assert linked(links) == (
        r"[Drift report](http://127.0.0.1:8000/a) · [x\_y](http://h/a%29%20%5Bb%5D%28c)"
    )


def test_links_that_do_not_fit_are_left_out_and_leave_their_place_to_the_others() -> None:
    links = [Link("long", "http://h/" + "a" * 2000), Link("short", "http://h/")]
    assert linked(links) == "[short](http://h/)"


def test_links_come_last_even_beside_many_fields() -> None:
    alert = Alert("k", "info", "t", "x", {f"f{number}": "v" * 1000 for number in range(30)})
    embed = compose(Message(entry(alert).entry, (Link("Prefect run", "http://h/1"),)))
    assert embed["fields"][-1]["name"] == "Look at"
    assert len(embed["fields"]) <= 25


def test_a_picture_is_attached_and_shown_in_the_embed() -> None:
    message = entry(Alert("k", "info", "t", "x"))
    with running_discord() as fake:
        assert DiscordSender(fake.url).send(Message(message.entry, (), b"PNG bytes"), 5.0) == Sent()
    assert fake.payloads[0]["embeds"][0]["image"] == {"url": "attachment://metric.png"}
    assert fake.payloads[0]["allowed_mentions"] == {"parse": []}
    assert fake.pictures == [b"PNG bytes"]
