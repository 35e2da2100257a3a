"""Processes start, are watched and stop, and nothing of them is left."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from operate import processes
from operate.processes import Processes, Running, Service, StackError, free_port
from operate.stack_host import group_members, is_port_taken
from tests.operate.conftest import eventually, is_running

SLEEPER = "import time; print('sleeping', flush=True); time.sleep(600)"
DEAF = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN);" + SLEEPER
HARD_OF_HEARING = """
import signal, sys, time
heard = []
def hear(number, frame):
    heard.append(number)
    if len(heard) == 2:
        sys.exit(0)
signal.signal(signal.SIGTERM, hear)
print("sleeping", flush=True)
while True:
    time.sleep(600)
"""
PARENT = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {SLEEPER!r}]);" + SLEEPER
WEB = """
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/ready" else 404)
        self.end_headers()
HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


def python(name: str, code: str, *arguments: str, **options: object) -> Service:
    return Service(name, (sys.executable, "-c", code, *arguments), **options)  # type: ignore[arg-type]


def sleeping(running: Running) -> None:
    eventually(lambda: "sleeping" in running.tail())


def test_a_service_is_ready_once_its_address_answers_200(tmp_path: Path) -> None:
    port = free_port()
    seen: list[str] = []
    with Processes(tmp_path) as running:
        running.start(python("web", WEB, str(port), ready=f"http://127.0.0.1:{port}/ready"))
        running.wait_ready(on_ready=seen.append)
        assert is_port_taken("127.0.0.1", port)
    assert seen == ["web"]


def test_an_answer_other_than_200_is_not_ready_and_the_end_of_the_log_is_shown(
    tmp_path: Path,
) -> None:
    port = free_port()
    address = f"http://127.0.0.1:{port}/other"
    service = python("web", WEB, str(port), ready=address, timeout_seconds=0.5)
    with Processes(tmp_path) as running:
        running.start(service)
        with pytest.raises(StackError) as caught:
            running.wait_ready()
    assert "web was not ready after 0 s" in str(caught.value)


def test_a_service_that_ends_before_it_is_ready_tells_its_status_and_last_words(
    tmp_path: Path,
) -> None:
    code = "import sys; print('no such database'); sys.exit(3)"
    with Processes(tmp_path) as running:
        running.start(python("web", code, ready=lambda: False))
        with pytest.raises(StackError) as caught:
            running.wait_ready()
    assert "web ended with status 3" in str(caught.value)
    assert "no such database" in str(caught.value)


def test_a_taken_port_is_refused_with_the_setting_to_change(tmp_path: Path) -> None:
    with socket.socket() as other, Processes(tmp_path) as running:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(StackError) as caught:
            running.start(python("mlflow", "", port=port, port_setting="PERENNIAL_MLFLOW_PORT"))
    assert str(caught.value) == (
        f"mlflow cannot listen on 127.0.0.1:{port}: the port is taken; "
        "set PERENNIAL_MLFLOW_PORT to a free one, or stop what uses it"
    )


def test_an_errand_is_ready_when_it_has_ended_well_and_is_not_missed_afterwards(
    tmp_path: Path,
) -> None:
    with Processes(tmp_path) as running:
        running.start(python("deploy", "print('done')", is_errand=True))
        running.wait_ready()
        assert running.running["deploy"].tail() == "done"
        assert running.ended() == []


def test_an_errand_that_fails_is_an_error(tmp_path: Path) -> None:
    errand = python("deploy", "raise SystemExit(4)", is_errand=True)
    with Processes(tmp_path) as running:
        running.start(errand)
        with pytest.raises(StackError, match="ended with status 4"):
            running.wait_ready()


def test_a_variable_that_is_none_is_taken_out_of_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_PROFILE", "mine")
    code = "import os; print(os.environ.get('PREFECT_PROFILE'), os.environ['OURS'])"
    env = {"PREFECT_PROFILE": None, "OURS": "yes"}
    with Processes(tmp_path) as running:
        running.start(python("child", code, env=env, is_errand=True))
        running.wait_ready()
        assert running.running["child"].tail() == "None yes"


def test_services_stop_in_reverse_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stopped: list[str] = []
    stop = Running.stop
    monkeypatch.setattr(
        Running, "stop", lambda self: (stopped.append(self.service.name), stop(self))
    )
    with Processes(tmp_path) as running:
        for name in ("first", "second", "third"):
            running.start(python(name, SLEEPER))
    assert stopped == ["third", "second", "first"]


def test_a_child_that_overhears_the_first_signal_is_told_again(tmp_path: Path) -> None:
    with Processes(tmp_path) as running:
        child = running.start(python("child", HARD_OF_HEARING))
        sleeping(child)
        child.stop(grace_seconds=1.0)
        assert child.popen.returncode == 0


def test_a_deaf_child_is_killed(tmp_path: Path) -> None:
    with Processes(tmp_path) as running:
        child = running.start(python("child", DEAF))
        sleeping(child)
        child.stop(grace_seconds=0.2)
        assert child.popen.returncode == -signal.SIGKILL


def test_the_children_of_a_child_end_with_it(tmp_path: Path) -> None:
    with Processes(tmp_path) as running:
        child = running.start(python("parent", PARENT))
        eventually(lambda: len(group_members(child.group)) == 2)
    assert group_members(child.group) == []


def test_what_ended_by_itself_is_reported(tmp_path: Path) -> None:
    with Processes(tmp_path) as running:
        child = running.start(python("child", SLEEPER))
        assert running.ended() == []
        child.popen.kill()
        assert eventually(running.ended) == [child]
        assert "child ended with status -9" in child.obituary()


def test_a_long_log_is_moved_aside_while_the_process_goes_on_writing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "LOG_LIMIT_BYTES", 100)
    with Processes(tmp_path) as running:
        child = running.start(python("child", SLEEPER.replace("'sleeping'", "'sleeping' * 20")))
        sleeping(child)
        child.rotate_log()
        assert child.log.read_text() == ""
        assert "sleeping" in (tmp_path / "child.log.1").read_text()


OWNER = f"""
import sys, time
from pathlib import Path
from operate.processes import Processes, Service, stopped_by_signals
try:
    with stopped_by_signals(), Processes(Path(sys.argv[1])) as running:
        child = running.start(Service("parent", (sys.executable, "-c", {PARENT!r})))
        print(child.group, flush=True)
        time.sleep(600)
except KeyboardInterrupt:
    print("stopped", flush=True)
"""


# Tests that run under `nohup` hand on that SIGHUP is ignored, and so would the owner.
HEARING = f"import signal; signal.signal(signal.SIGHUP, signal.SIG_DFL)\n{OWNER}"


@pytest.fixture
def owner(tmp_path: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", HEARING, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_stops_everything(owner: subprocess.Popen[str], number: int) -> None:
    assert owner.stdout is not None
    group = int(owner.stdout.readline())
    eventually(lambda: len(group_members(group)) == 2)
    owner.send_signal(number)
    words, _ = owner.communicate(timeout=20)
    assert words == "stopped\n"
    assert group_members(group) == []


def test_a_signal_that_the_shell_had_ignored_stops_all_the_same(tmp_path: Path) -> None:
    command = [sys.executable, "-c", OWNER, str(tmp_path)]
    ignoring = ["sh", "-c", "trap '' INT; exec \"$@\"", "sh", *command]
    owner = subprocess.Popen(ignoring, stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    group = int(owner.stdout.readline())
    owner.send_signal(signal.SIGINT)
    owner.communicate(timeout=20)
    assert group_members(group) == []


def test_nothing_survives_when_the_owner_is_killed(owner: subprocess.Popen[str]) -> None:
    assert owner.stdout is not None
    group = int(owner.stdout.readline())
    eventually(lambda: len(group_members(group)) == 2)
    owner.kill()
    owner.communicate(timeout=20)
    eventually(lambda: not group_members(group))
    assert not is_running(group)


def test_members_of_a_group_are_found_by_its_number() -> None:
    assert os.getpid() in group_members(os.getpgrp())
