"""What Discord is shown: escaped, and within its limits whatever an alert holds."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from learning.alert import Alert, Severity
from storage.outbox import Entry
from tasks.discord import Sent, compose, cut, escape, length, send
from tests.fakes.discord import running_discord

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def entry(alert: Alert, repeats: int = 0, event_id: str = "e1") -> Entry:
    return Entry(1, event_id, "churn", alert, repeats, "waiting", 0, None, None, NOW, NOW, None)


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
        assert send(fake.url, entry(alert, event_id="e" * 500)) == Sent()
    embed = fake.payloads[0]["embeds"][0]
    texts = [embed["title"], embed["description"], embed["footer"]["text"]]
    texts += [text for shown in embed["fields"] for text in (shown["name"], shown["value"])]
    assert sum(length(text) for text in texts) <= 6000


def test_twenty_five_small_fields_are_all_that_is_shown() -> None:
    alert = Alert("k", "info", "t", "x", {f"f{number}": number for number in range(30)})
    assert len(compose(entry(alert))["fields"]) == 25
