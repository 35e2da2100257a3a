from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Engine, text

from storage.database import reading
from storage.tokens import TokenError, create_token, list_tokens, load_tokens, revoke_token


def test_only_the_hash_of_the_secret_is_kept(engine: Engine) -> None:
    token, plain = create_token(engine, ["predict"], label="shop")
    token_id, _, secret = plain.partition(".")
    assert token_id == token.token_id
    assert len(secret) == 43  # 256 bits in base64
    with reading(engine) as connection:
        row = connection.execute(text("SELECT * FROM tokens")).mappings().one()
    assert row["secret_sha256"] == hashlib.sha256(secret.encode()).hexdigest()
    assert secret not in str(dict(row))


def test_a_token_reads_back_as_it_was_made(engine: Engine) -> None:
    later = datetime.now(UTC) + timedelta(days=1)
    token, _ = create_token(engine, ["read", "predict"], label="shop", expires_at=later)
    assert load_tokens(engine) == (token,)
    assert token.scopes == ("predict", "read")


@pytest.mark.parametrize("scopes", [[], ["predict", "everything"]])
def test_unknown_or_no_scopes_are_refused(engine: Engine, scopes: list[str]) -> None:
    with pytest.raises(TokenError, match="expected some of predict, feedback, read, admin"):
        create_token(engine, scopes)
    assert load_tokens(engine) == ()


def test_a_revoked_token_is_listed_no_more_and_lives_no_more(engine: Engine) -> None:
    token, _ = create_token(engine, ["admin"])
    revoke_token(engine, token.token_id)
    revoke_token(engine, token.token_id)
    assert list_tokens(engine) == ()
    (stored,) = load_tokens(engine)
    assert not stored.is_live(datetime.now(UTC))


def test_revoking_an_unknown_token_says_so(engine: Engine) -> None:
    with pytest.raises(TokenError, match="no token has the id 'nobody'"):
        revoke_token(engine, "nobody")


def test_a_token_lives_until_the_moment_it_expires(engine: Engine) -> None:
    moment = datetime.now(UTC)
    token, _ = create_token(engine, ["read"], expires_at=moment)
    assert token.is_live(moment - timedelta(microseconds=1))
    assert not token.is_live(moment)
