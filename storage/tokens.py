"""API tokens ``id.secret``: the secret is shown once, only its SHA-256 is kept."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from datetime import UTC, datetime

import msgspec
from sqlalchemy import Engine, insert, select, update

from storage.credentials import SCOPES, Token, TokenError, hash_secret
from storage.database import reading, writing
from storage.ledger import Entry, append
from storage.ledger_check import CREATED, REVOKED
from storage.tables import tokens

__all__ = [
    "SCOPES",
    "Token",
    "TokenError",
    "create_token",
    "hash_secret",
    "list_tokens",
    "load_tokens",
    "revoke_token",
]


def create_token(
    engine: Engine,
    scopes: Iterable[str],
    label: str | None = None,
    expires_at: datetime | None = None,
    actor: str = "a program",
) -> tuple[Token, str]:
    """A new stored token and its plain text, which nobody can read again; the ledger tells it.

    Raises TokenError for unknown or no scopes.
    """
    asked = set(scopes)
    wanted = tuple(scope for scope in SCOPES if scope in asked)
    unknown = sorted(asked - set(SCOPES))
    if unknown or not wanted:
        raise TokenError(f"scopes: found {unknown or 'none'}; expected some of {', '.join(SCOPES)}")
    secret = secrets.token_urlsafe(32)
    token = Token(
        token_id=secrets.token_hex(6),
        secret_sha256=hash_secret(secret.encode()),
        scopes=wanted,
        label=label,
        created_at=datetime.now(UTC),
        expires_at=expires_at,
    )
    row = {**msgspec.structs.asdict(token), "scopes": list(wanted)}
    evidence = {
        "scopes": list(wanted),
        "secret_sha256": token.secret_sha256,
        "expires_at": None if expires_at is None else expires_at.isoformat(),
    }
    with writing(engine) as connection:
        connection.execute(insert(tokens).values(row))
        reason = f"a token for {label}" if label else "a token without a label"
        append(connection, Entry(None, CREATED, token.token_id, actor, reason, evidence))
    return token, f"{token.token_id}.{secret}"


def load_tokens(engine: Engine) -> tuple[Token, ...]:
    """All stored tokens, revoked and expired ones too, oldest first."""
    query = select(tokens).order_by(tokens.c.created_at, tokens.c.token_id)
    with reading(engine) as connection:
        rows = connection.execute(query).mappings().all()
    return tuple(Token(**{**row, "scopes": tuple(row["scopes"])}) for row in rows)


def list_tokens(engine: Engine) -> tuple[Token, ...]:
    """The stored tokens that were not revoked."""
    return tuple(token for token in load_tokens(engine) if token.revoked_at is None)


def revoke_token(engine: Engine, token_id: str, actor: str = "a program") -> None:
    """Revoke a token; doing so twice changes nothing. The ledger tells it.

    Raises TokenError when there is no such token.
    """
    statement = (
        update(tokens)
        .where(tokens.c.token_id == token_id, tokens.c.revoked_at.is_(None))
        .values(revoked_at=datetime.now(UTC))
    )
    with writing(engine) as connection:
        is_known = select(tokens.c.token_id).where(tokens.c.token_id == token_id)
        if connection.execute(is_known).first() is None:
            raise TokenError(f"no token has the id {token_id!r}; see `perennial token list`")
        if connection.execute(statement).rowcount:
            append(connection, Entry(None, REVOKED, token_id, actor, "revoked"))
