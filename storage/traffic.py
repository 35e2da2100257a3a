"""How many requests each API process answered, and how many with an error of its own.

Each process leaves its counts in a small file beside the pointers, where the loop reads them:
the API sends no alert itself, and needs no database to be heard.
"""

from __future__ import annotations

import time
from pathlib import Path

import msgspec

from storage.bundles import write_atomically

# Samples reach back this far; a window of errors cannot be longer.
LONGEST_WINDOW_SECONDS = 3600.0
OLD_SECONDS = 86_400.0

# Requests and errors so far, by problem.
Counts = dict[str, tuple[int, int]]


class Sample(msgspec.Struct, frozen=True, array_like=True):
    """What a process had answered by a moment (Unix seconds)."""

    at: float
    counts: Counts


def leave_samples(store: Path, worker: str, samples: list[Sample]) -> None:
    """Write a process's samples, the oldest first."""
    write_atomically(_folder(store) / f"{worker}.json", msgspec.json.encode(samples))


def count_window(store: Path, problem: str, now: float, window_seconds: float) -> tuple[int, int]:
    """Requests and errors of a problem in the window before ``now``, over all processes.

    Processes that ended within the window count as well; files that are no samples do not.
    """
    n_requests = n_errors = 0
    for path in sorted(_folder(store).glob("*.json")):
        try:
            samples = msgspec.json.decode(path.read_bytes(), type=list[Sample])
        except (OSError, msgspec.MsgspecError):
            continue
        after, before = _at(samples, now), _at(samples, now - window_seconds)
        n_requests += after.get(problem, (0, 0))[0] - before.get(problem, (0, 0))[0]
        n_errors += after.get(problem, (0, 0))[1] - before.get(problem, (0, 0))[1]
    return n_requests, n_errors


def remove_old_samples(store: Path, now: float | None = None) -> int:
    """Remove the files of processes that are long gone; returns how many."""
    removed = 0
    for path in _folder(store).glob("*.json"):
        if (time.time() if now is None else now) - path.stat().st_mtime > OLD_SECONDS:
            path.unlink(missing_ok=True)
            removed += 1
    return removed


def _at(samples: list[Sample], moment: float) -> Counts:
    """The counts that stood at a moment; the oldest known before all samples."""
    found = [sample for sample in samples if sample.at <= moment]
    if found:
        return found[-1].counts
    return samples[0].counts if samples else {}


def _folder(store: Path) -> Path:
    return store / "traffic"
