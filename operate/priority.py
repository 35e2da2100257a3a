"""Who goes first where processors are scarce."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

NICENESS = 5
AUTOGROUP = Path("/proc/self/autogroup")


def give_way(autogroup: Path = AUTOGROUP) -> None:
    """Let processes that answer people go first: this one, and all that it starts, is nicer.

    Linux weighs whole sessions against each other where it groups them, and nice values count
    within a session only: one that this process leads is made nicer as well.
    """
    os.nice(NICENESS)
    if os.getsid(0) == os.getpid():
        with contextlib.suppress(OSError):
            autogroup.write_text(f"{NICENESS}\n")
