"""The newest labels beside what was predicted: one file a problem for all workers of a home.

Each label is one appended line. A full file becomes the old one and a new one begins, so that the
two hold at most twice ``FILE_BYTES``. They outlive the server; what is lost with them is in SQL.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path

import msgspec
from loguru import logger

FILE_BYTES = 128 * 1024


class LiveLabel(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """One prediction as its label judges it.

    ``error`` is 0 or 1 for a class that was right or wrong, for a regression the distance.
    ``score`` is the chance of the positive class of a binary problem, else None, and
    ``is_positive`` whether the label is that class.
    """

    model_version: str
    error: float
    score: float | None = None
    is_positive: bool = False


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(LiveLabel)


class LiveLabels:
    """Appends and reads them. Several processes may do both at once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._read: dict[str, tuple[object, list[LiveLabel]]] = {}
        self._is_told = False

    def add(self, problem: str, labels: Sequence[LiveLabel]) -> None:
        """Append labels. They are worth a figure, not a failure: an error is logged once."""
        try:
            self._append(self._path(problem), _encoder.encode_lines(labels))
        except OSError as error:
            if not self._is_told:
                logger.warning("live metrics cannot be kept: {}", error.strerror)
            self._is_told = True

    def read(self, problem: str) -> list[LiveLabel]:
        """Those at hand, the oldest first; the same list until there are others."""
        path = self._path(problem)
        paths = (_old(path), path)
        state = tuple(map(_state, paths))
        known, labels = self._read.get(problem, (None, []))
        if known != state:
            labels = [label for each in paths for label in _labels(each)]
            self._read[problem] = (state, labels)
        return labels

    def _path(self, problem: str) -> Path:
        return self._folder / f"{problem}.jsonl"

    def _append(self, path: Path, content: bytes) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        # Opened each time: another process may have made it the old one.
        file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(file, content)
            if os.fstat(file).st_size > FILE_BYTES:
                with contextlib.suppress(FileNotFoundError):
                    # Unless another process was first: a new file is not full.
                    if path.stat().st_ino == os.fstat(file).st_ino:
                        path.replace(_old(path))
        finally:
            os.close(file)


def _old(path: Path) -> Path:
    return path.with_suffix(".old")


def _state(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size


def _labels(path: Path) -> list[LiveLabel]:
    try:
        content = path.read_bytes()
    except OSError:
        return []
    with contextlib.suppress(msgspec.MsgspecError):
        # Up to the last whole line: another may be on its way.
        return _decoder.decode_lines(content[: content.rfind(b"\n") + 1])
    return [label for line in content.splitlines() for label in _label(line)]


def _label(line: bytes) -> list[LiveLabel]:
    with contextlib.suppress(msgspec.MsgspecError):
        return [_decoder.decode(line)]
    return []
