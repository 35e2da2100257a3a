"""Ends the process groups of a stack whose own process vanished.

Runs as a script of its own, outside the stack's session. It reads `+GROUP` and `-GROUP` lines;
the end of the input means that the stack is gone, by whatever signal, and what is still on the
list is told to stop and then killed. A death signal set in each child (`PR_SET_PDEATHSIG`) would
miss the children of children, and exists on Linux alone.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Iterable

GRACE_SECONDS = 5.0


def signal_groups(groups: Iterable[int], number: int) -> None:
    """Send a signal to every group that still exists."""
    for group in groups:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(group, number)


def living(groups: Iterable[int]) -> set[int]:
    """The groups that still have a member."""
    alive = set()
    for group in groups:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(group, 0)
            alive.add(group)
    return alive


def main() -> None:
    """Follow the list on standard input until it ends, then end what is left on it."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    groups: set[int] = set()
    for line in sys.stdin:
        group = int(line[1:])
        if line.startswith("+"):
            groups.add(group)
        else:
            groups.discard(group)
    signal_groups(groups, signal.SIGTERM)
    deadline = time.monotonic() + GRACE_SECONDS
    while living(groups) and time.monotonic() < deadline:
        time.sleep(0.05)
    signal_groups(groups, signal.SIGKILL)


if __name__ == "__main__":
    main()
