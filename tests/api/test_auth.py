from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr

from api.auth import REFRESH_SECONDS, is_loopback
from settings import Settings
from storage.database import open_engine, upgrade
from storage.tokens import create_token, revoke_token
from tests.api.servers import Api, running, wait_until
from tests.factories_bundles import promote_version

OPEN = {"/health", "/health/live", "/health/ready", "/docs", "/openapi.json"}


@pytest.fixture
def closed(settings: Settings) -> Iterator[Api]:
    """A server with an empty token table that asks for tokens."""
    upgrade(settings.sql_url)
    promote_version(settings.store, 1)
    with running(settings) as server:
        yield server


def ask(api: Api, token: str | bytes | None, path: str = "/model/info") -> httpx.Response:
    value = token.encode() if isinstance(token, str) else token
    headers = {} if value is None else {b"Authorization": b"Bearer " + value}
    if path in {"/predict", "/feedback"}:
        return api.client.post(path, headers=headers, json={"features": [1]})
    return api.client.get(path, headers=headers)


def known(api: Api, token: str) -> None:
    wait_until(lambda: ask(api, token).status_code != 401)


def test_without_a_token_every_route_but_the_open_ones_is_closed(closed: Api) -> None:
    paths = closed.client.get("/openapi.json").json()["paths"]
    for path, operations in paths.items():
        for method in operations:
            url = path.replace("{prediction_id}", "p1")
            refusal = closed.client.request(method, url, json={"features": [1]})
            is_open = path.removeprefix("/problems/demo") in OPEN | {"/metrics"}
            assert (path, refusal.status_code == 401) == (path, not is_open)
            if not is_open:
                assert refusal.headers["www-authenticate"] == "Bearer"
                assert refusal.json()["code"] == "unauthenticated"


def test_a_token_opens_its_scopes_and_no_others(closed: Api) -> None:
    routes = {"predict": "/predict", "feedback": "/feedback", "read": "/model/info"}
    for scope in routes:
        _, plain = create_token(closed.runtime.engine, [scope])
        known(closed, plain)
        for needed, path in routes.items():
            answer = ask(closed, plain, path)
            assert (answer.status_code == 403) == (needed != scope)
            assert answer.status_code != 401


def test_a_revoked_token_is_refused_within_a_second(closed: Api) -> None:
    token, plain = create_token(closed.runtime.engine, ["read"])
    known(closed, plain)
    assert ask(closed, plain).status_code == 200
    revoke_token(closed.runtime.engine, token.token_id)
    # How often the list is read is what bounds it; a busy machine may take longer to be asked.
    assert REFRESH_SECONDS <= 0.5
    wait_until(lambda: ask(closed, plain).status_code == 401)
    assert ask(closed, plain).json()["code"] == "unauthenticated"


def test_an_expired_token_is_refused(closed: Api) -> None:
    soon = datetime.now(UTC) + timedelta(seconds=1.2)
    _, plain = create_token(closed.runtime.engine, ["read"], expires_at=soon)
    wait_until(lambda: ask(closed, plain).status_code == 200)
    wait_until(lambda: ask(closed, plain).status_code == 401)
    assert datetime.now(UTC) >= soon


@pytest.mark.parametrize("token", [".", "x", "é".encode(), b"\xff\xfe", "a.b.c", "x" * 5000])
def test_wrong_tokens_are_refused_whatever_they_hold(closed: Api, token: str | bytes) -> None:
    assert ask(closed, token).status_code == 401


def test_a_wrong_secret_of_a_known_token_is_refused(closed: Api) -> None:
    token, plain = create_token(closed.runtime.engine, ["read"])
    known(closed, plain)
    assert ask(closed, f"{token.token_id}.wrong").status_code == 401
    assert ask(closed, token.token_id).status_code == 401


def test_another_kind_of_credential_is_refused(closed: Api) -> None:
    _, plain = create_token(closed.runtime.engine, ["read"])
    known(closed, plain)
    answer = closed.client.get("/model/info", headers={"Authorization": f"Basic {plain}"})
    assert answer.status_code == 401
    lower = closed.client.get("/model/info", headers={"Authorization": f"bearer {plain}"})
    assert lower.status_code == 200


def test_the_token_of_the_settings_opens_everything(settings: Settings) -> None:
    promote_version(settings.store, 1)
    secret = settings.model_copy(update={"api_token": SecretStr("my own"), "api_insecure": True})
    with running(secret) as api:
        assert ask(api, "my own", "/predict").status_code == 200
        assert ask(api, "my own").status_code == 200
        assert ask(api, "another").status_code == 401
        assert ask(api, None).status_code == 401  # a token exists: nothing is open any more


def test_an_open_server_closes_with_its_first_token(open_settings: Settings) -> None:
    promote_version(open_settings.store, 1)
    upgrade(open_settings.sql_url)
    with running(open_settings) as api:
        assert ask(api, None).status_code == 200
        token, _ = create_token(api.runtime.engine, ["read"])
        wait_until(lambda: ask(api, None).status_code == 401)
        revoke_token(api.runtime.engine, token.token_id)
        wait_until(lambda: not api.runtime.gate.has_live_token)
        assert ask(api, None).status_code == 401


def test_beyond_loopback_nothing_is_open(open_settings: Settings) -> None:
    promote_version(open_settings.store, 1)
    with running(open_settings.model_copy(update={"api_host": "0.0.0.0"})) as api:
        assert ask(api, None).status_code == 401


def test_tokens_work_after_a_start_without_sql(settings: Settings, tmp_path: Path) -> None:
    promote_version(settings.store, 1)
    upgrade(settings.sql_url)
    engine = open_engine(settings.sql_url)
    _, plain = create_token(engine, ["read"])
    engine.dispose()
    with running(settings) as api:
        known(api, plain)
    away = SecretStr("postgresql://nobody@127.0.0.1:9/none")
    with running(settings.model_copy(update={"database_url": away})) as api:
        assert ask(api, plain).status_code == 200
        assert ask(api, None).status_code == 401


@pytest.mark.parametrize(
    ("host", "is_local"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("10.0.0.1", False),
        ("example.com", False),
        ("", False),
    ],
)
def test_only_loopback_addresses_are_local(host: str, is_local: bool) -> None:
    assert is_loopback(host) is is_local
