"""API tokens as they are checked: read straight from an SQLite file where there is one."""

from __future__ import annotations

import contextlib
import hashlib
import json
import sqlite3
from datetime import UTC, datetime
from pathlib import Path

import msgspec

SQLITE = "sqlite:///"
WAIT_SECONDS = 2.0
QUERY = (
    "SELECT token_id, secret_sha256, scopes, label, created_at, expires_at, revoked_at "
    "FROM tokens ORDER BY created_at, token_id"
)

SCOPES = ("predict", "feedback", "read", "admin")


class TokenError(ValueError):
    """A token cannot be made or found as asked; the message says why."""


class Token(msgspec.Struct, frozen=True):
    """A stored token, without its secret."""

    token_id: str
    secret_sha256: str
    scopes: tuple[str, ...]
    label: str | None
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None

    def is_live(self, now: datetime) -> bool:
        """Whether the token opens anything at this time."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


def hash_secret(secret: bytes) -> str:
    """Hexadecimal SHA-256 of a secret; it is random, so it needs neither salt nor stretching."""
    return hashlib.sha256(secret).hexdigest()


def sqlite_path(url: str) -> Path | None:
    """The file behind a plain SQLite URL, None for any other database."""
    path = url.removeprefix(SQLITE)
    return None if path == url or not path or "?" in path else Path(path)


def read_tokens(path: Path) -> tuple[Token, ...]:
    """All tokens of an SQLite database, without the libraries that SQL needs otherwise.

    Raises sqlite3.Error when the file or its table cannot be read.
    """
    address = f"{path.absolute().as_uri()}?mode=ro"
    with contextlib.closing(sqlite3.connect(address, uri=True, timeout=WAIT_SECONDS)) as connection:
        rows = connection.execute(QUERY).fetchall()
    return tuple(
        Token(
            name,
            digest,
            tuple(json.loads(scopes)),
            label,
            _moment(created),
            _moment(expires) if expires else None,
            _moment(revoked) if revoked else None,
        )
        for name, digest, scopes, label, created, expires, revoked in rows
    )


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)
