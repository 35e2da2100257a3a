"""Logs: one line per event, without control characters, credentials or values of variables."""

from __future__ import annotations

import json
import logging
import math
import re
import sys
import traceback
from typing import TYPE_CHECKING, Any, TextIO

from loguru import logger

if TYPE_CHECKING:
    from loguru import Message, Record

# These write whole addresses at INFO or DEBUG, and a webhook's address is a credential.
TALKATIVE = ("alembic", "httpx", "httpcore", "urllib3", "requests", "discord_webhook")

_WEBHOOK = re.compile(r"(?:https?:/+[^\s/'\"<>]+)?/(?:api/)?(?:v\d+/)?webhooks/[^\s'\"<>)]+")
_PASSWORD = re.compile(r"(?<=://)([^\s:/@]*):[^\s/]+@")
_BEARER = re.compile(r"(?i)\bbearer\s+[^\s'\",]+")
# Databases quote the row that they refused.
_ROW = re.compile(r"(\[parameters: |DETAIL: ).*")


def setup_logging(level: str, json_lines: bool, stream: TextIO | None = None) -> None:
    """Send the logs of this process, the standard library's too, to one stream (stderr)."""

    def write(message: Message) -> None:
        record = message.record
        line = json_line(record) if json_lines else text_line(record)
        print(line, file=stream or sys.stderr, flush=True)

    logger.remove()
    # `diagnose` would print the values of variables under each traceback.
    logger.add(write, level=level.upper(), format="{message}", backtrace=False, diagnose=False)
    logging.basicConfig(handlers=[_ToLoguru()], level=logger.level(level.upper()).no, force=True)
    for name in TALKATIVE:
        logging.getLogger(name).setLevel(logging.WARNING)


def redact(text: str) -> str:
    """The text without webhook addresses, passwords in URLs, bearer tokens and database rows."""
    text = _WEBHOOK.sub("[webhook]", text)
    text = _PASSWORD.sub(r"\1:***@", text)
    text = _BEARER.sub("Bearer ***", text)
    return _ROW.sub(r"\1…", text)


def json_line(record: Record) -> str:
    """The record as one line of ASCII JSON; what is not a letter or a sign is escaped."""
    line: dict[str, Any] = {
        "time": record["time"].isoformat(),
        "level": record["level"].name,
        "name": record["extra"].get("logger", record["name"]),
        "message": redact(record["message"]),
    }
    line |= {key: _plain(value) for key, value in record["extra"].items() if key not in line}
    line.pop("logger", None)
    if trace := _trace(record):
        line["exception"] = trace
    return json.dumps(line, ensure_ascii=True, default=str).replace("\x7f", "\\u007f")


def text_line(record: Record) -> str:
    """The record as one line for a terminal, which no character of it can command."""
    text = redact(record["message"])
    if trace := _trace(record):
        text = f"{text} | {trace}"
    shown = "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)
    return f"{record['time']:%H:%M:%S} {record['level'].name:<8} {shown}"


class _ToLoguru(logging.Handler):
    """Passes records of the standard library on."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            level: str | int = logger.level(record.levelname).name
        except ValueError:
            level = record.levelno
        passed = logger.bind(logger=record.name).opt(exception=record.exc_info)
        passed.log(level, "{}", record.getMessage())


def _trace(record: Record) -> str | None:
    found = record["exception"]
    if found is None or found.value is None:
        return None
    lines = traceback.format_exception(found.type, found.value, found.traceback)
    return redact("".join(lines)).rstrip()


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    return value if value is None or isinstance(value, int) else redact(str(value))
