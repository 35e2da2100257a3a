"""Segment files of the journal: records framed by length and checksum.

A drained file is written again under another name (`storage.spare`), over the records of its former
life. None of these is ever read again: a checksum begins with the file's name, and behind the
newest record an `END` is written with it, so that a half-written record can be told from them.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

FRAME = struct.Struct("<II")
RECORD_LIMIT = 16 * 1024 * 1024
BLOCK_BYTES = 256 * 1024
# No record is empty: a length of nought says that nothing follows.
END = bytes(FRAME.size)
# A file that was used before says so; one that is drained and waits to be is no segment.
SUFFIX, REUSED_SUFFIX, DRAINED_SUFFIX = ".log", ".again.log", ".drained"


@dataclass(slots=True)
class Segment:
    """One append-only file: bytes up to ``size`` are durable, those up to ``drained`` are in SQL.

    ``is_sealed`` says that nothing more will be appended; ``is_torn`` that the file goes on
    after ``size`` with something that is no whole record.
    """

    path: Path
    size: int = 0
    drained: int = 0
    is_sealed: bool = False
    is_torn: bool = False


def seed_of(path: Path) -> int:
    """What the checksums of a file's records begin with; it goes with the file's folder."""
    return zlib.crc32(f"{path.parent.name}/{path.name}".encode())


def frame(payload: bytes, seed: int = 0) -> bytes:
    """A record as it stands in the file with this seed."""
    return FRAME.pack(len(payload), zlib.crc32(payload, seed)) + payload


def read_frames(path: Path, start: int, end: int | None = None) -> Iterator[tuple[int, bytes]]:
    """Records from ``start`` as (offset of the next one, payload), up to the first torn one.

    Checksums without a seed pass too: files were written so before they were used again.
    """
    seed = seed_of(path)
    with path.open("rb") as file:
        file.seek(start)
        offset = start
        while end is None or offset < end:
            header = file.read(FRAME.size)
            if len(header) < FRAME.size:
                return
            length, checksum = FRAME.unpack(header)
            # A hole in the file reads as zeros, which would pass as an empty record.
            if not 0 < length <= RECORD_LIMIT:
                return
            payload = file.read(length)
            if len(payload) < length:
                return
            if zlib.crc32(payload, seed) != checksum and zlib.crc32(payload) != checksum:
                return
            offset += FRAME.size + length
            yield offset, payload


def read_portion(
    path: Path, start: int, end: int, n_records: int, n_bytes: int
) -> tuple[int, list[bytes]]:
    """Some records from ``start`` with the offset after them; that is ``start`` when none is whole.

    They are at most ``n_records`` and, but for the last, at most ``n_bytes``.
    """
    payloads: list[bytes] = []
    last = start
    for offset, payload in read_frames(path, start, end):
        payloads.append(payload)
        last = offset
        if len(payloads) == n_records or last - start > n_bytes:
            break
    return last, payloads


def read_at(path: Path, offset: int) -> bytes | None:
    """The record that starts at ``offset``, or None when its file is gone."""
    try:
        return next((payload for _, payload in read_frames(path, offset)), None)
    except FileNotFoundError:
        return None


def has_more(path: Path, start: int) -> bool:
    """Whether anything but the zeros of a file made ahead stands from ``start`` on.

    In a file that is written again, where old records follow, whether its `END` does not.
    """
    with path.open("rb") as file:
        file.seek(start)
        if path.name.endswith(REUSED_SUFFIX):
            return any(file.read(len(END)))
        while block := file.read(BLOCK_BYTES):
            if block.count(0) < len(block):
                return True
    return False


def sync_folder(path: Path) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
