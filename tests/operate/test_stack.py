"""The whole stack: what each part is told, how it is kept up, and that it leaves nothing behind."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from operate import stack, stack_services
from operate.processes import Service, StackError
from operate.stack import Stack, run_up
from operate.stack_host import group_members
from settings import Settings
from tests.operate.conftest import eventually

SLEEPER = "import time; time.sleep(600)"


def make_settings(**values: object) -> Settings:
    return Settings(_env_file=None, **values)  # type: ignore[arg-type]


@pytest.fixture
def light(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Stack:
    """A stack of two sleeping processes, restarted without pauses."""
    monkeypatch.setattr(stack, "PAUSES_SECONDS", (0.01, 0.02, 0.03))
    light = Stack(settings)
    light.factories = {
        name: lambda _settings, name=name: Service(name, (sys.executable, "-c", SLEEPER))
        for name in ("api", "worker")
    }
    return light


def test_a_child_reads_the_settings_of_its_parent(tmp_path: Path) -> None:
    told = make_settings(
        home=tmp_path / "here",
        active="churn,credit",
        database_url="postgresql+psycopg://someone:secret@host/perennial",
        api_insecure=True,
        api_port=1234,
        prefect_api_url="http://elsewhere/api",
        discord_webhook_url="http://discord/hook",
    )
    names = sorted(stack_services.environment_of(told))
    assert {"PREFECT_API_URL", "DISCORD_WEBHOOK_URL", "PERENNIAL_ACTIVE"} < set(names)
    code = "from settings import Settings; print(repr(Settings(_env_file=None).model_dump()))"
    env = {"PATH": os.environ["PATH"], **stack_services.environment_of(told)}
    run = subprocess.run(
        [sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == repr(told.model_dump())


def test_a_persons_own_prefect_profile_stays_out(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_PROFILE", "cloud")
    monkeypatch.setenv("PREFECT_API_KEY", "secret")
    env = stack_services.common_environment(settings)
    assert env["PREFECT_PROFILE"] is None
    assert env["PREFECT_API_KEY"] is None
    assert env["PREFECT_HOME"] == str(settings.home / "prefect")
    assert env["PREFECT_API_URL"] == "http://127.0.0.1:4200/api"


def test_a_server_elsewhere_is_used_with_the_persons_own_key_and_not_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_API_KEY", "secret")
    elsewhere = make_settings(
        home=tmp_path, prefect_api_url="http://prefect/api", mlflow_uri="http://mlflow"
    )
    env = stack_services.common_environment(elsewhere)
    assert "PREFECT_API_KEY" not in env
    assert env["PREFECT_API_URL"] == "http://prefect/api"
    assert env["PERENNIAL_MLFLOW_URI"] == "http://mlflow"
    assert list(Stack(elsewhere).factories) == ["api", "ui", "deploy", "worker"]
    assert Stack(elsewhere).addresses["Prefect (flows)"] == "http://prefect"


def test_no_part_sends_telemetry(settings: Settings) -> None:
    for factory in Stack(settings).factories.values():
        env = factory(settings).env
        assert env["DO_NOT_TRACK"] == "1"
        assert env["MLFLOW_DISABLE_TELEMETRY"] == "true"
        assert env["PREFECT_SERVER_ANALYTICS_ENABLED"] == "false"


def test_only_the_api_listens_beyond_loopback(tmp_path: Path) -> None:
    wide = make_settings(home=tmp_path, api_host="0.0.0.0")
    hosts = {name: make(wide).host for name, make in Stack(wide).factories.items()}
    assert hosts.pop("api") == "0.0.0.0"
    assert set(hosts.values()) == {"127.0.0.1"}
    assert stack_services.api_url(wide) == "http://127.0.0.1:8000"


def test_what_ends_is_started_again(light: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    with light:
        first = light.processes.running["worker"]
        first.popen.kill()
        eventually(light.processes.ended)
        light._restart(first)
        second = light.processes.running["worker"]
        assert second.group != first.group
        assert light.processes.ended() == []
    assert group_members(second.group) == []


def test_what_ends_again_and_again_is_given_up(light: Stack) -> None:
    said: list[str] = []
    light._say = said.append
    ending = (sys.executable, "-c", "print('no licence'); raise SystemExit(9)")
    light.factories["api"] = lambda _settings: Service("api", ending)
    with light, pytest.raises(StackError) as caught:
        light.watch()
    assert "api was restarted 3 times in vain" in str(caught.value)
    assert "no licence" in str(caught.value)
    assert [text.splitlines()[-1] for text in said if "again" in text] == [
        "api starts again in 0 s"
    ] * 3


def test_a_stack_that_cannot_start_stops_what_had_started(light: Stack) -> None:
    def refuse(_settings: Settings) -> Service:
        raise StackError("no")

    light.factories["other"] = refuse
    with pytest.raises(StackError), light:
        pass
    assert light.processes.running == {}


def test_up_says_what_is_in_the_way_and_ends_with_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = make_settings(home=tmp_path, prefect_port=other.getsockname()[1])
        assert run_up(taken) == 1
    assert "set PERENNIAL_PREFECT_PORT to a free one" in capsys.readouterr().err
