"""Whose child a process is, whether it still lives, and how it is made to end with its parent."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import sys
import threading
from multiprocessing import parent_process
from multiprocessing.connection import wait
from pathlib import Path

PR_SET_PDEATHSIG = 1


def die_with_parent() -> None:
    """Have the kernel kill this process when the thread that started it ends (Linux only)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def die_with_worker() -> None:
    """End this flow run's process when its fork server or its worker ends.

    The thread serves systems that have no death signal, and a fork server that is alive although
    its worker is not.
    """
    die_with_parent()
    worker = parent_process()
    if worker is not None:
        threading.Thread(target=_follow, args=(worker.sentinel,), daemon=True).start()


def _follow(sentinel: int) -> None:
    wait([sentinel])
    os.kill(os.getpid(), signal.SIGKILL)


def start_ticks(pid: int) -> str | None:
    """When the process started, in clock ticks since boot; None when it is not running.

    Process ids are used again; a pid together with its start is not. Where the system does not
    tell, "0" stands for any start.
    """
    if not Path("/proc/self/stat").exists():
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return None
        except PermissionError:
            return "0"
        return "0"
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else fields[19]


def identify(pid: int) -> str:
    """`HOST:PID:START`, what Prefect keeps as the infrastructure of a flow run."""
    return f"{socket.gethostname()}:{pid}:{start_ticks(pid) or 'gone'}"


def is_dead_here(identifier: str) -> bool:
    """Whether the process ran on this host and has ended; False when we cannot know."""
    host, _, process = identifier.rpartition(":")[0].rpartition(":")
    start = identifier.rpartition(":")[2]
    if host != socket.gethostname() or not process.isdigit():
        return False
    return start_ticks(int(process)) != start
