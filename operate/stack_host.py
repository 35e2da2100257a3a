"""What the host says: free ports, members of a process group, signals turned into one exception."""

from __future__ import annotations

import contextlib
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

from operate import stack_reaper

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def free_port(host: str = "127.0.0.1") -> int:
    """A TCP port that nothing listened on a moment ago."""
    with socket.socket() as listener:
        listener.bind((host, 0))
        port: int = listener.getsockname()[1]
    return port


def is_port_taken(host: str, port: int) -> bool:
    """Whether something else holds the address."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
        except OSError:
            return True
    return False


def group_members(group: int) -> list[int]:
    """Process ids of the group that are alive; ended ones that nobody has reaped do not count."""
    folders = Path("/proc").glob("[0-9]*/stat")
    members = []
    for stat in folders:
        with contextlib.suppress(OSError):
            # The name in brackets may hold spaces: what follows the last bracket is regular.
            state, _parent, its_group = stat.read_text().rpartition(")")[2].split()[:3]
            if int(its_group) == group and state not in "ZX":
                members.append(int(stat.parent.name))
    if not members and not Path("/proc/self/stat").exists():
        return sorted(stack_reaper.living([group]))
    return sorted(members)


@contextlib.contextmanager
def stopped_by_signals() -> Iterator[None]:
    """Turn Ctrl-C, SIGTERM and SIGHUP into one KeyboardInterrupt, so that one path stops.

    Ctrl-C counts even where a shell started us in the background, which makes Python ignore it;
    SIGHUP does not where it is ignored, for that is what `nohup` is for.
    """

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = {number: signal.getsignal(number) for number in STOP_SIGNALS}
    for number, handler in before.items():
        if number != signal.SIGHUP or handler != signal.SIG_IGN:
            signal.signal(number, interrupt)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
