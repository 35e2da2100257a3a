"""Log lines: one per event, without secrets, commands to terminals or values."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest
from loguru import logger

from storage.logs import redact, setup_logging

WEBHOOK = "https://discord.com/api/webhooks/123/very-secret"


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    """A stream to log to; afterwards logging is as it was."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    root.handlers = []
    yield io.StringIO()
    logger.remove()
    root.handlers = handlers
    root.setLevel(level)


def test_a_json_line_holds_one_event_with_its_bound_values(stream: io.StringIO) -> None:
    setup_logging("info", True, stream)
    logger.bind(problem="churn", n=3, share=float("nan")).info("a\nb\x1b[31m\x7f\u2028 é {}", "x")
    logger.debug("not shown")
    (text,) = stream.getvalue().splitlines()
    assert text.isascii()
    assert text.isprintable()
    line = json.loads(text)
    assert line["message"] == "a\nb\x1b[31m\x7f\u2028 é x"
    assert (line["level"], line["problem"], line["n"]) == ("INFO", "churn", 3)
    assert line["share"] == "nan"


def test_a_text_line_cannot_command_the_terminal(stream: io.StringIO) -> None:
    setup_logging("INFO", False, stream)
    logger.warning("a\r\nb\x1b[2J\u202e é \ud800")
    (text,) = stream.getvalue().split("\n")[:-1]
    assert text.endswith(r"WARNING  a\r\nb\x1b[2J\u202e é \ud800")


def test_lines_of_the_standard_library_are_passed_on(stream: io.StringIO) -> None:
    setup_logging("INFO", True, stream)
    # Importing Prefect, as other tests do, makes it keep the lines of servers to itself.
    logging.getLogger("some_library.part").info("started %s {braces}", "now")
    line = json.loads(stream.getvalue())
    assert (line["name"], line["message"]) == ("some_library.part", "started now {braces}")


def test_http_clients_do_not_write_the_addresses_that_they_call(stream: io.StringIO) -> None:
    setup_logging("DEBUG", True, stream)
    for name in ("httpx", "urllib3.connectionpool"):
        logging.getLogger(name).info("POST %s", "https://anything/secret")
    assert stream.getvalue() == ""


def test_an_exception_is_told_without_variables_rows_or_addresses(stream: io.StringIO) -> None:
    setup_logging("INFO", True, stream)
    card = "4111"
    try:
        raise ValueError(f"at {WEBHOOK}\n[parameters: ({card!r},)]")
    except ValueError:
        logger.exception("it failed")
    line = json.loads(stream.getvalue())
    assert "ValueError: at [webhook]" in line["exception"]
    assert "4111" not in stream.getvalue()
    assert "very-secret" not in stream.getvalue()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"POST {WEBHOOK}?wait=True done", "POST [webhook] done"),
        (
            "HTTPConnectionPool(url: /api/webhooks/1/abc (Caused",
            "HTTPConnectionPool(url: [webhook] (Caused",
        ),
        ("http://127.0.0.1:99/api/v10/webhooks/1/abc", "[webhook]"),
        ("postgresql+psycopg://me:pw@db/x", "postgresql+psycopg://me:***@db/x"),
        ("Authorization: bearer abc.def", "Authorization: Bearer ***"),
        ("nothing to hide: 12:30", "nothing to hide: 12:30"),
    ],
)
def test_credentials_are_redacted(text: str, shown: str) -> None:
    assert redact(text) == shown
