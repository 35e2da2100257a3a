"""Was a signal violated often enough? Windows of the stream, each with its verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

SignalName = Literal["drift", "performance", "estimate"]
SIGNALS: tuple[SignalName, ...] = ("drift", "performance", "estimate")
MOST_WINDOWS = 20


@dataclass(frozen=True)
class Window:
    """A stretch of the stream: how many rows had come when it began, and the newest verdict."""

    opened_at: int
    is_violated: bool


Windows = tuple[Window, ...]
Looks = Mapping[str, Windows]


def look(windows: Windows, n_rows: int, is_violated: bool, step_rows: int) -> Windows:
    """The windows, oldest first, after another look at the signal when ``n_rows`` had come.

    A look with fewer than ``step_rows`` rows behind the beginning of the newest window sees the
    same rows again: its verdict takes the place of that window's. A count that went back, as after
    a restore, starts afresh.
    """
    if windows and n_rows < windows[-1].opened_at:
        windows = ()
    if windows and n_rows - windows[-1].opened_at < step_rows:
        return (*windows[:-1], replace(windows[-1], is_violated=is_violated))
    return (*windows, Window(n_rows, is_violated))[-MOST_WINDOWS:]


def not_yet(windows: Windows, violations: int, of_windows: int) -> str | None:
    """Why the violation may still be chance; None when there were enough and the newest is one."""
    newest = windows[-of_windows:]
    n_violated = sum(window.is_violated for window in newest)
    if newest and newest[-1].is_violated and n_violated >= violations:
        return None
    return (
        f"in {n_violated} of the last {len(newest)} windows; "
        f"{violations} of {of_windows} and the newest are needed"
    )


def write_looks(looks: Looks) -> dict[str, list[list[int]]]:
    """The windows as JSON holds them: pairs of rows and 0 or 1."""
    return {
        name: [[window.opened_at, int(window.is_violated)] for window in windows]
        for name, windows in looks.items()
    }


def read_looks(kept: Mapping[str, Sequence[Sequence[Any]]]) -> dict[str, Windows]:
    """The windows from what `write_looks` made; a signal that is missing has none."""
    return {
        name: tuple(Window(int(rows), bool(verdict)) for rows, verdict in kept.get(name, ()))
        for name in SIGNALS
    }
