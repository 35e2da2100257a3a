"""Named child processes: start, wait until ready, watch, stop, and leave nothing behind."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

import httpx

from operate import stack_reaper
from operate.stack_host import free_port, group_members, is_port_taken, stopped_by_signals

__all__ = ["Processes", "Running", "Service", "StackError", "free_port", "stopped_by_signals"]

POLL_SECONDS = 0.1
LOG_LIMIT_BYTES = 20_000_000


class StackError(RuntimeError):
    """A process could not be started, or ended when it should not have."""


@dataclass(frozen=True)
class Service:
    """One process to run.

    `ready` is a URL that answers 200, or a function that says so; None means ready once started.
    A variable of `env` that is None is taken out of the environment. An `errand` is ready when it
    has ended well, and is expected to end.
    `port_setting` is what a person changes when `port` is taken.
    """

    name: str
    command: tuple[str, ...]
    env: Mapping[str, str | None] = field(default_factory=dict)
    ready: str | Callable[[], bool] | None = None
    is_errand: bool = False
    host: str = "127.0.0.1"
    port: int | None = None
    port_setting: str = ""
    timeout_seconds: float = 90.0


def _merge_environment(changes: Mapping[str, str | None]) -> dict[str, str]:
    merged = {**os.environ, **changes}
    return {name: value for name, value in merged.items() if value is not None}


class Running:
    """One started service."""

    def __init__(self, service: Service, log: Path) -> None:
        self.service = service
        self.log = log
        self._offset = log.stat().st_size if log.exists() else 0
        with log.open("ab") as sink:
            self.popen = subprocess.Popen(  # noqa: S603  # the commands are ours
                service.command,
                env=_merge_environment(service.env),
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.group = self.popen.pid

    def is_ready(self) -> bool:
        """Whether it answers; raises StackError when it has ended."""
        if self.popen.poll() is not None:
            if self.service.is_errand and self.popen.returncode == 0:
                return True
            raise StackError(self.obituary())
        ready = self.service.ready
        if self.service.is_errand:
            return False
        if ready is None or callable(ready):
            return ready is None or ready()
        try:
            return httpx.get(ready, timeout=2.0, trust_env=False).status_code == 200
        except httpx.HTTPError:
            return False

    def tail(self, lines: int = 20) -> str:
        """The last lines that it wrote since it was started."""
        with self.log.open("rb") as source:
            source.seek(min(self._offset, self.log.stat().st_size))
            text = source.read().decode(errors="replace")
        return "\n".join(text.splitlines()[-lines:])

    def obituary(self) -> str:
        """How it ended, and its last words."""
        return (
            f"{self.service.name} ended with status {self.popen.returncode}. "
            f"The end of {self.log}:\n{self.tail()}"
        )

    def rotate_log(self) -> None:
        """Move a long log aside; the process goes on writing, for it opened the file to append."""
        with contextlib.suppress(OSError):
            if self.log.stat().st_size > LOG_LIMIT_BYTES:
                self.log.with_suffix(".log.1").write_bytes(self.log.read_bytes())
                os.truncate(self.log, 0)
                self._offset = 0

    def stop(self, grace_seconds: float = 10.0) -> None:
        """TERM, TERM again, then KILL the whole group; returns when no member is left.

        The first signals go to the leader alone, which knows in what order its own children end.
        """
        for _ in range(2):
            if self.popen.poll() is None:
                self.popen.terminate()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self.popen.wait(grace_seconds / 2)
        if self.popen.poll() is not None and self._signal_rest(signal.SIGTERM, 2.0):
            return
        self.kill()

    def kill(self) -> None:
        """KILL the whole group; raises StackError when a member survives."""
        if not self._signal_rest(signal.SIGKILL, 5.0):
            raise StackError(f"{self.service.name} left processes: {group_members(self.group)}")

    def _signal_rest(self, number: int, patience_seconds: float) -> bool:
        deadline = time.monotonic() + patience_seconds
        while True:
            self.popen.poll()
            if not group_members(self.group):
                return True
            if time.monotonic() > deadline:
                return False
            stack_reaper.signal_groups([self.group], number)
            time.sleep(POLL_SECONDS)


class Processes:
    """The running services of one stack, in the order of their start.

    Use it as a context manager, from one thread. Leaving it stops everything in reverse order; a
    second Ctrl-C while that lasts kills at once.
    """

    def __init__(self, logs: Path) -> None:
        self.logs = logs
        self.running: dict[str, Running] = {}
        self._reaper: subprocess.Popen[str] | None = None

    def __enter__(self) -> Processes:
        self.logs.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-I", "-S", str(Path(stack_reaper.__file__))]
        self._reaper = subprocess.Popen(  # noqa: S603  # our own file
            command, stdin=subprocess.PIPE, start_new_session=True, text=True
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self.stop()
        finally:
            if self._reaper is not None and self._reaper.stdin is not None:
                with contextlib.suppress(BrokenPipeError):
                    self._reaper.stdin.close()
                self._reaper.wait()

    def start(self, service: Service) -> Running:
        """Start one service; raises StackError when its port is taken."""
        if service.port is not None and is_port_taken(service.host, service.port):
            hint = f"set {service.port_setting} to a free one, or " if service.port_setting else ""
            raise StackError(
                f"{service.name} cannot listen on {service.host}:{service.port}: "
                f"the port is taken; {hint}stop what uses it"
            )
        running = Running(service, self.logs / f"{service.name}.log")
        self.running[service.name] = running
        self._tell_reaper("+", running.group)
        return running

    def wait_ready(self, *names: str, on_ready: Callable[[str], None] = lambda _name: None) -> None:
        """Return when the named services are ready; StackError names the first that is not."""
        waiting = list(names or self.running)
        started = time.monotonic()
        while waiting:
            for name in list(waiting):
                running = self.running[name]
                if running.is_ready():
                    waiting.remove(name)
                    on_ready(name)
                elif time.monotonic() - started > running.service.timeout_seconds:
                    limit = running.service.timeout_seconds
                    raise StackError(
                        f"{name} was not ready after {limit:.0f} s. "
                        f"The end of {running.log}:\n{running.tail()}"
                    )
            if waiting:
                time.sleep(POLL_SECONDS)

    def ended(self) -> list[Running]:
        """Services that are no longer running though nobody stopped them."""
        services = [each for each in self.running.values() if not each.service.is_errand]
        return [running for running in services if running.popen.poll() is not None]

    def stop(self, *names: str) -> None:
        """Stop the named services, or all, in reverse order; nothing of them is left afterwards."""
        try:
            for name in [known for known in reversed(self.running) if not names or known in names]:
                self.running[name].stop()
                self._forget(name)
        except KeyboardInterrupt:
            for name in list(self.running):
                self.running[name].kill()
                self._forget(name)
            raise

    def _forget(self, name: str) -> None:
        self._tell_reaper("-", self.running.pop(name).group)

    def _tell_reaper(self, sign: str, group: int) -> None:
        if self._reaper is not None and self._reaper.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._reaper.stdin.write(f"{sign}{group}\n")
                self._reaper.stdin.flush()
