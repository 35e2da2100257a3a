"""Which bundle is served: one small file per problem, and each server's word that it follows.

The release table decides; this file is what servers read, so that they need no database.
A server answers a new generation by writing its acknowledgement, the promoter waits for them.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from storage.bundles import write_atomically


class Pointer(msgspec.Struct, frozen=True):
    """The bundle to serve. ``generation`` only grows."""

    problem: str
    generation: int
    version: str
    bundle: str
    moved_at: datetime


class Acknowledgement(msgspec.Struct, frozen=True):
    """What one server process says of a generation: it answers with it, or why it refuses."""

    worker: str
    pid: int
    generation: int
    serving_generation: int
    refused_code: str | None = None
    refused_reason: str | None = None
    seen_at: datetime = msgspec.field(default_factory=lambda: datetime.now(UTC))


def pointer_path(store: Path, problem: str) -> Path:
    """The pointer's file."""
    return store / "pointers" / f"{problem}.json"


def read_pointer(store: Path, problem: str) -> Pointer | None:
    """The pointer, or None before the first promotion.

    Raises msgspec.MsgspecError when the file is not a pointer.
    """
    try:
        content = pointer_path(store, problem).read_bytes()
    except FileNotFoundError:
        return None
    return msgspec.json.decode(content, type=Pointer)


def move_pointer(store: Path, pointer: Pointer) -> None:
    """Replace the pointer atomically."""
    write_atomically(pointer_path(store, pointer.problem), msgspec.json.encode(pointer))


def acknowledge(store: Path, problem: str, word: Acknowledgement) -> None:
    """Write a server's word; its file is removed by `withdraw` when it stops."""
    path = _folder(store, problem) / f"{word.worker}.json"
    write_atomically(path, msgspec.json.encode(word))


def withdraw(store: Path, problem: str, worker: str) -> None:
    """Forget a server that stops answering."""
    (_folder(store, problem) / f"{worker}.json").unlink(missing_ok=True)


def acknowledgements(store: Path, problem: str) -> list[Acknowledgement]:
    """The words of all servers whose process still lives on this machine."""
    words = []
    for path in sorted(_folder(store, problem).glob("*.json")):
        try:
            word = msgspec.json.decode(path.read_bytes(), type=Acknowledgement)
        except (FileNotFoundError, msgspec.MsgspecError):
            continue
        if _is_alive(word.pid):
            words.append(word)
    return words


def _folder(store: Path, problem: str) -> Path:
    return store / "servers" / problem


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
