"""API tokens by hand."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.table import Table
from sqlalchemy.engine import Engine

from operate.terminal import user_name
from settings import Settings
from storage.database import open_engine, upgrade
from storage.tokens import create_token, list_tokens, revoke_token


def create(
    settings: Settings, scopes: tuple[str, ...], label: str, expires_at: datetime | None
) -> dict[str, Any]:
    """Make a token; the only place where its plain text is returned."""
    if expires_at is not None and expires_at.tzinfo is None:
        expires_at = expires_at.replace(tzinfo=UTC)
    with _database(settings) as engine:
        token, text = create_token(engine, scopes, label or None, expires_at, user_name())
    return {
        "id": token.token_id,
        "token": text,
        "scopes": list(token.scopes),
        "expires_at": token.expires_at,
    }


def list_all(settings: Settings) -> dict[str, Any]:
    """All tokens without their secrets."""
    now = datetime.now(UTC)
    with _database(settings) as engine:
        tokens = list_tokens(engine)
    return {
        "tokens": [
            {
                "id": token.token_id,
                "scopes": list(token.scopes),
                "label": token.label,
                "created_at": token.created_at,
                "expires_at": token.expires_at,
                "is_live": token.is_live(now),
            }
            for token in tokens
        ]
    }


def revoke(settings: Settings, token_id: str) -> bool:
    """End a token; False when there is none of this id."""
    with _database(settings) as engine:
        if token_id not in {token.token_id for token in list_tokens(engine)}:
            return False
        revoke_token(engine, token_id, user_name())
    return True


@contextmanager
def _database(settings: Settings) -> Iterator[Engine]:
    upgrade(settings.sql_url)
    engine = open_engine(settings.sql_url)
    try:
        yield engine
    finally:
        engine.dispose()


def show_tokens(found: dict[str, Any], console: Console) -> None:
    """A table of tokens."""
    table = Table("id", "scopes", "label", "expires", "live")
    for token in found["tokens"]:
        expires = f"{token['expires_at']:%Y-%m-%d}" if token["expires_at"] else "never"
        table.add_row(
            token["id"],
            " ".join(token["scopes"]),
            token["label"] or "",
            expires,
            "yes" if token["is_live"] else "no",
        )
    console.print(table)
