"""Texts of others stay texts; times and shares read well."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from ui.words import ago, amount, literal, share

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain words", "plain words"),
        ("a_b *c*", r"a\_b \*c\*"),
        ("[x](http://evil)", r"\[x\]\(http\://evil\)"),
        (":red[no] $x$", r"\:red\[no\] \$x\$"),
        ("<script>", r"\<script\>"),
        ("two\nlines", "two lines"),
        ("say `perennial rollback_now`.", r"say `perennial rollback_now`\."),
        ("one ` alone", r"one \` alone"),
    ],
)
def test_texts_of_others_are_shown_as_they_are(text: str, shown: str) -> None:
    assert literal(text) == shown


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.2, "just now"),
        (7, "7 s ago"),
        (119, "1 min ago"),
        (7200, "2 h ago"),
        (-120, "in 2 min"),
        (200_000, "2 d ago"),
    ],
)
def test_ages(seconds: float, words: str) -> None:
    assert ago(NOW - timedelta(seconds=seconds), NOW) == words


def test_what_is_unknown_is_said_so() -> None:
    assert (ago(None), share(None), share(0.254), amount(12345)) == ("never", "–", "25%", "12,345")
