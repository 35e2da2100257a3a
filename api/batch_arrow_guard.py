"""Looks at an Arrow message before it is decoded: what it would take, from its own header.

The header is a flatbuffer (Message.fbs of the Arrow format). Only the few fields read here are
looked for; whether the rest is well formed is the decoder's to say.
"""

from __future__ import annotations

import struct
from typing import Any

from api.errors import ApiError

DICTIONARY, RECORDS = 2, 3
ROWS_FIELD, COMPRESSION_FIELD = 0, 3
HEADER_TYPE_FIELD, HEADER_FIELD = 1, 2
DICTIONARY_DATA_FIELD = 1
# A dictionary cannot have more entries than its bytes; this only stops lengths without bytes.
LENGTH_LIMIT = 2**31


def check_message(metadata: Any) -> int:
    """Number of rows of a record batch, 0 for other messages.

    Raises ApiError 422 for compressed buffers, whose size nothing bounds; ValueError for what
    is no message.
    """
    content = memoryview(metadata)
    try:
        message = struct.unpack_from("<I", content, 0)[0]
        kind = _at(content, message, HEADER_TYPE_FIELD)
        header = _at(content, message, HEADER_FIELD)
        if kind is None or header is None or content[kind] not in (DICTIONARY, RECORDS):
            return 0
        table = _follow(content, header)
        if content[kind] == DICTIONARY:
            data = _at(content, table, DICTIONARY_DATA_FIELD)
            if data is None:
                raise ValueError("a dictionary without data")
            table = _follow(content, data)
        if _at(content, table, COMPRESSION_FIELD) is not None:
            raise ApiError(422, "invalid_arrow", "expected buffers without compression")
        place = _at(content, table, ROWS_FIELD)
        n_rows = 0 if place is None else struct.unpack_from("<q", content, place)[0]
    except (struct.error, IndexError) as error:
        raise ValueError("truncated") from error
    if not 0 <= n_rows < LENGTH_LIMIT:
        raise ValueError("an impossible length")
    return int(n_rows) if content[kind] == RECORDS else 0


def _at(content: memoryview, table: int, number: int) -> int | None:
    """Where a table's field stands, or None when it is left out."""
    vtable = table - struct.unpack_from("<i", content, table)[0]
    if vtable < 0:
        raise ValueError("a table before the message")
    size = struct.unpack_from("<H", content, vtable)[0]
    entry = 4 + 2 * number
    if entry + 2 > size:
        return None
    offset = struct.unpack_from("<H", content, vtable + entry)[0]
    return table + offset if offset else None


def _follow(content: memoryview, place: int) -> int:
    return place + int(struct.unpack_from("<I", content, place)[0])
