"""Every route, asked with every kind of token: generated from the route table."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest
from starlette.routing import Route

from api.app import create_app, required_scope
from settings import Settings
from storage.database import upgrade
from storage.tokens import SCOPES, create_token, revoke_token
from tests.api.servers import Api, running, wait_until
from tests.factories_bundles import promote_version

PROBLEM = "demo"


def routes() -> list[tuple[str, str, str | None]]:
    """(method, path, scope) of each route."""
    settings = Settings(_env_file=None)  # type: ignore[call-arg]
    app = create_app(settings, (PROBLEM,))
    found = []
    for route in app.routes:
        assert isinstance(route, Route)
        for method in (route.methods or set()) - {"HEAD"}:
            found.append((method, route.path, required_scope(route)))
    return sorted(found, key=str)


ROUTES = routes()


@dataclass
class Closed:
    """A server that asks for tokens, and one token of each kind."""

    api: Api
    by_scope: dict[str, str] = field(default_factory=dict)
    wrong: dict[str, bytes | None] = field(default_factory=dict)

    def ask(self, method: str, path: str, token: bytes | None) -> int:
        headers = {} if token is None else {b"Authorization": b"Bearer " + token}
        url = path.replace("{prediction_id}", "p1")
        return self.api.client.request(method, url, headers=headers, json={}).status_code


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Closed]:
    settings = Settings(_env_file=None, home=tmp_path_factory.mktemp("home"))  # type: ignore[call-arg]
    upgrade(settings.sql_url)
    promote_version(settings.store, 1)
    with running(settings) as api:
        found = Closed(api)
        engine = api.runtime.engine
        for scope in SCOPES:
            found.by_scope[scope] = create_token(engine, [scope])[1]
        past = datetime.now(UTC) - timedelta(seconds=1)
        expired = create_token(engine, SCOPES, expires_at=past)[1]
        gone, revoked = create_token(engine, SCOPES)
        revoke_token(engine, gone.token_id)
        known = found.by_scope["read"]
        found.wrong = {
            "no token": None,
            "an unknown token": b"nobody.nothing",
            "a wrong secret": known.split(".")[0].encode() + b".wrong",
            "an expired token": expired.encode(),
            "a revoked token": revoked.encode(),
            "a token with other letters": "é.ü".encode(),
            "bytes that are no text": b"\xff\xfe.\xff",
            "an empty token": b".",
        }
        last = found.by_scope[SCOPES[-1]].encode()
        wait_until(lambda: found.ask("GET", "/model/info", last) == 403)
        yield found


def is_open(path: str, scope: str | None) -> bool:
    """Whether a route answers anybody; the tests ask from loopback."""
    return scope is None or path.endswith("/metrics")


@pytest.mark.parametrize(("method", "path", "scope"), ROUTES)
def test_wrong_tokens_open_nothing(
    closed: Closed, method: str, path: str, scope: str | None
) -> None:
    for kind, token in closed.wrong.items():
        status = closed.ask(method, path, token)
        assert (kind, status == 401) == (kind, not is_open(path, scope))


@pytest.mark.parametrize(("method", "path", "scope"), ROUTES)
def test_a_token_opens_the_routes_of_its_scope_and_no_others(
    closed: Closed, method: str, path: str, scope: str | None
) -> None:
    for given, token in closed.by_scope.items():
        status = closed.ask(method, path, token.encode())
        is_refused = not is_open(path, scope) and given != scope
        assert (given, status == 403) == (given, is_refused)
        assert status != 401
        assert status < 500


def test_every_scope_opens_some_route() -> None:
    assert {scope for _, _, scope in ROUTES} == {None, *SCOPES}


def test_metrics_from_elsewhere_need_a_token(
    closed: Closed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.auth.is_loopback", lambda _host: False)
    for kind, token in closed.wrong.items():
        assert (kind, closed.ask("GET", "/metrics", token)) == (kind, 401)
    for given, plain in closed.by_scope.items():
        expected = 200 if given == "read" else 403
        assert (given, closed.ask("GET", "/metrics", plain.encode())) == (given, expected)
