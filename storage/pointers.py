"""Which bundle is served: one small file per problem, and each server's word that it follows.

The release table decides; this file is what servers read, so that they need no database.
A server answers a new generation by writing its acknowledgement, the promoter waits for them.
"""

from __future__ import annotations

import contextlib
import os
import time
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from storage.bundles import write_atomically
from storage.candidates import Candidate

ALIVE_SECONDS = 3.0


class Former(msgspec.Struct, frozen=True):
    """A bundle that was served before."""

    version: str
    bundle: str


class Pointer(msgspec.Struct, frozen=True):
    """The bundle to serve. ``generation`` only grows.

    ``former`` are the bundles served before it, newest first: a rollback needs no database.
    ``candidate`` may take over: servers load it as well.
    """

    problem: str
    generation: int
    version: str
    bundle: str
    moved_at: datetime
    actor: str = "loop"
    reason: str = ""
    former: tuple[Former, ...] = ()
    candidate: Candidate | None = None


class Acknowledgement(msgspec.Struct, frozen=True):
    """What one server process says of a generation: it answers with it, or why it refuses.

    It may answer with a generation's champion and refuse its candidate.
    """

    worker: str
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
    write_atomically(_word_path(store, problem, word.worker), msgspec.json.encode(word))


def stay(store: Path, problem: str, worker: str) -> None:
    """Say that this server still lives: call it every second, or its word stops counting."""
    with contextlib.suppress(FileNotFoundError):
        os.utime(_word_path(store, problem, worker))


def withdraw(store: Path, problem: str, worker: str) -> None:
    """Forget a server that stops answering."""
    _word_path(store, problem, worker).unlink(missing_ok=True)


def acknowledgements(store: Path, problem: str) -> list[Acknowledgement]:
    """The words of all servers that were alive within `ALIVE_SECONDS`.

    A file time rather than a process id, because servers may live in other containers.
    """
    words = []
    for path in sorted((store / "servers" / problem).glob("*.json")):
        try:
            if time.time() - path.stat().st_mtime > ALIVE_SECONDS:
                continue
            words.append(msgspec.json.decode(path.read_bytes(), type=Acknowledgement))
        except (FileNotFoundError, msgspec.MsgspecError):
            continue
    return words


def _word_path(store: Path, problem: str, worker: str) -> Path:
    return store / "servers" / problem / f"{worker}.json"
