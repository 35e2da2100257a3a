from __future__ import annotations

import asyncio
import socket
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from prometheus_client import CollectorRegistry
from starlette.types import Receive, Scope, Send

from api import limits as limits_module
from api.errors import ApiError
from api.limits import Limited, Limits
from settings import Settings
from storage.database import upgrade
from storage.tokens import create_token
from tests.api.servers import Api, running, wait_until
from tests.factories_bundles import promote_version


class Clock:
    """Time that a test turns."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(limits_module, "time", found)
    return found


def make(rate: float = 0, n_at_once: int = 10) -> Limits:
    return Limits(rate, n_at_once, CollectorRegistry())


def taken(limits: Limits, token: str, n_times: int) -> int:
    """How many of so many requests at one moment pass."""
    passed = 0
    for _ in range(n_times):
        try:
            limits.take(token)
        except ApiError:
            continue
        passed += 1
    return passed


def test_a_token_may_ask_one_seconds_worth_at_once(clock: Clock) -> None:
    limits = make(rate=5)
    assert taken(limits, "a", 20) == 5
    clock.now += 0.4
    assert taken(limits, "a", 20) == 2
    clock.now += 60
    assert taken(limits, "a", 20) == 5


def test_tokens_do_not_pay_for_each_other(clock: Clock) -> None:
    limits = make(rate=5)
    assert taken(limits, "a", 20) == 5
    assert taken(limits, "b", 20) == 5


def test_a_rate_below_one_still_lets_single_requests_pass(clock: Clock) -> None:
    limits = make(rate=0.1)
    assert taken(limits, "a", 3) == 1
    with pytest.raises(ApiError) as refusal:
        limits.take("a")
    assert (refusal.value.status, refusal.value.code) == (429, "rate_limited")
    assert refusal.value.headers["Retry-After"] == "10"
    clock.now += 10
    assert taken(limits, "a", 3) == 1


def test_a_rate_of_zero_limits_nothing(clock: Clock) -> None:
    assert taken(make(rate=0), "a", 10_000) == 10_000


def test_a_clock_that_stands_still_gives_nothing_more(clock: Clock) -> None:
    limits = make(rate=1)
    assert [taken(limits, "a", 1) for _ in range(3)] == [1, 0, 0]


def test_only_so_many_requests_are_answered_at_once() -> None:
    limits = make(n_at_once=2)
    limits.enter("/predict")
    limits.enter("/predict")
    with pytest.raises(ApiError) as refusal:
        limits.enter("/predict")
    assert (refusal.value.status, refusal.value.code) == (503, "overloaded")
    assert int(refusal.value.headers["Retry-After"]) > 0
    limits.leave()
    limits.enter("/predict")


def test_what_watches_a_process_gets_through_when_it_is_busiest() -> None:
    limits = make(n_at_once=0)
    with pytest.raises(ApiError) as refusal:
        limits.enter("/predict")
    assert refusal.value.code == "overloaded"
    for path in ("/health", "/health/live", "/problems/demo/health/ready", "/metrics"):
        limits.enter(path)
        limits.leave()


def test_a_request_that_fails_is_counted_out() -> None:
    limits = make(n_at_once=1)

    async def fail(_scope: Scope, _receive: Receive, _send: Send) -> None:
        raise RuntimeError

    async def ask() -> None:
        for _ in range(3):
            with pytest.raises(RuntimeError):
                await Limited(fail, limits)({"type": "http", "path": "/"}, None, None)  # type: ignore[arg-type]

    asyncio.run(ask())
    limits.enter("/")
    with pytest.raises(ApiError) as refusal:
        limits.enter("/")
    assert refusal.value.status == 503


def test_a_token_that_asks_too_fast_is_told_when_to_come_again(settings: Settings) -> None:
    slow = settings.model_copy(update={"api_rate_limit": 3.0})
    upgrade(slow.sql_url)
    promote_version(slow.store, 1)
    with running(slow) as api:
        _, hasty = create_token(api.runtime.engine, ["predict"])
        _, calm = create_token(api.runtime.engine, ["predict", "read"])
        wait_until(lambda: ask(api, calm, "/model/info").status_code == 200)
        wait_until(lambda: ask(api, hasty, "/model/info").status_code == 403)
        answers = [ask(api, hasty, "/model/info") for _ in range(20)]
        refusal = next(answer for answer in answers if answer.status_code == 429)
        assert refusal.json()["code"] == "rate_limited"
        assert refusal.headers["content-type"] == "application/problem+json"
        assert int(refusal.headers["retry-after"]) == 1
        assert ask(api, calm, "/model/info").status_code in {200, 429}
        assert api.client.get("/health").status_code == 200
        assert 'perennial_limited_total{limit="rate"}' in api.client.get("/metrics").text


def ask(api: Api, token: str, path: str) -> httpx.Response:
    return api.client.get(path, headers={"Authorization": f"Bearer {token}"})


def test_requests_beyond_the_limit_are_told_to_come_again(open_settings: Settings) -> None:
    narrow = open_settings.model_copy(update={"api_concurrency_limit": 1})
    promote_version(narrow.store, 1)
    with running(narrow) as api:
        with socket.create_connection(("127.0.0.1", api.port)) as slow:
            slow.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\n{")
            refusal = wait_until(lambda: overloaded(api))
            assert refusal.json()["code"] == "overloaded"
            assert int(refusal.headers["retry-after"]) > 0
            assert api.client.get("/health/live").status_code == 200
        wait_until(lambda: api.predict(features=[1]).status_code == 200)
        assert 'perennial_limited_total{limit="concurrency"}' in api.client.get("/metrics").text


def overloaded(api: Api) -> httpx.Response | None:
    answer = api.predict(features=[1])
    return answer if answer.status_code == 503 else None


def test_as_many_as_are_allowed_are_answered(open_settings: Settings) -> None:
    promote_version(open_settings.store, 1)
    with running(open_settings) as api, ThreadPoolExecutor(16) as clients:
        answers = list(clients.map(lambda _: api.predict(features=[1]).status_code, range(200)))
    assert set(answers) == {200}
