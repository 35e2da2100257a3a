from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr

from api.serve import ServeError, serve
from settings import Settings
from storage.database import open_engine, upgrade
from storage.tokens import create_token, revoke_token
from tests.api.servers import CHECKOUT, START, ServerProcess, free_port, wait_until
from tests.factories_bundles import promote_version


@pytest.fixture
def taken() -> Iterator[int]:
    """A loopback port that somebody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def test_a_taken_port_is_named_with_what_to_do(settings: Settings, taken: int) -> None:
    with pytest.raises(ServeError, match=rf"port {taken} .* is taken .*--port") as refusal:
        serve(settings, ("demo",), "127.0.0.1", taken)
    assert refusal.value.exit_code == 2


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_beyond_loopback_it_does_not_start_without_a_token(settings: Settings, host: str) -> None:
    insecure = settings.model_copy(update={"api_insecure": True})
    with pytest.raises(ServeError, match="perennial token create"):
        serve(insecure, ("demo",), host, free_port())


def test_a_revoked_token_is_no_token(settings: Settings) -> None:
    upgrade(settings.sql_url)
    engine = open_engine(settings.sql_url)
    token, _ = create_token(engine, ["read"])
    revoke_token(engine, token.token_id)
    engine.dispose()
    with pytest.raises(ServeError, match="no live token"):
        serve(settings, ("demo",), "0.0.0.0", free_port())


def test_with_a_token_it_goes_on_to_the_next_check(settings: Settings, taken: int) -> None:
    with_token = settings.model_copy(update={"api_token": SecretStr("secret")})
    with socket.create_server(("0.0.0.0", 0)) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(ServeError, match="is taken"):
            serve(with_token, ("demo",), "0.0.0.0", port)


@pytest.mark.parametrize("host", ["no.such.host.invalid", "203.0.113.1"])
def test_an_address_of_others_is_refused(settings: Settings, host: str) -> None:
    with_token = settings.model_copy(update={"api_token": SecretStr("secret")})
    with pytest.raises(ServeError, match=r"cannot listen|expected an address"):
        serve(with_token, ("demo",), host, free_port())


def test_another_kind_of_database_is_refused(settings: Settings) -> None:
    other = settings.model_copy(update={"database_url": SecretStr("mysql://nobody@127.0.0.1/x")})
    with pytest.raises(ServeError, match="expected sqlite:/// or postgresql"):
        serve(other, ("demo",), "127.0.0.1", free_port())


@pytest.mark.slow
def test_a_stop_that_was_asked_for_leaves_with_success_and_drains(settings: Settings) -> None:
    settings.home.mkdir()
    promote_version(settings.store, 1)
    server = ServerProcess(settings.home, free_port())
    try:
        wait_until(server.answers)
        for _ in range(20):
            answer = httpx.post(f"{server.address}/predict", json={"features": [1]})
            assert answer.status_code == 200
        assert server.stop() == 0
    finally:
        server.kill()
    assert list((settings.home / "journal").iterdir()) == []
    engine = open_engine(settings.sql_url)
    with engine.connect() as connection:
        count = connection.exec_driver_sql("SELECT count(*) FROM predictions").scalar_one()
    engine.dispose()
    assert count == 20


@pytest.mark.slow
def test_the_log_holds_neither_bodies_nor_secrets(settings: Settings, tmp_path: Path) -> None:
    settings.home.mkdir()
    promote_version(settings.store, 1)
    port = free_port()
    log = tmp_path / "log"
    environment = {
        "PATH": "/usr/bin:/bin",
        "PERENNIAL_HOME": str(settings.home),
        "PERENNIAL_API_TOKEN": "secret-token",
        "PERENNIAL_LOG_LEVEL": "DEBUG",
        "PYTHONPATH": str(CHECKOUT),
    }
    with log.open("wb") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-c", START, "demo", str(port)],
            env=environment,
            cwd=tmp_path,
            stderr=stderr,
        )
        try:
            headers = {"Authorization": "Bearer secret-token"}
            address = f"http://127.0.0.1:{port}"
            wait_until(lambda: _is_up(address))
            for body in ({"features": [12345.678]}, {"features": ["secret-value"]}, {"secret": 1}):
                httpx.post(f"{address}/predict", json=body, headers=headers)
            httpx.get(f"{address}/model/info", headers={"Authorization": "Bearer wrong-token"})
        finally:
            process.terminate()
            process.wait()
    text = log.read_text()
    assert "version 1 answers" in text
    for secret in ("secret-token", "secret-value", "12345.678", "wrong-token"):
        assert secret not in text


def _is_up(address: str) -> bool:
    try:
        return httpx.get(f"{address}/health/ready").status_code == 200
    except httpx.HTTPError:
        return False
