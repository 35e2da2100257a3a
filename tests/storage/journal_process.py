"""A process that writes and drains a journal of small files until it is killed.

It says on standard output which number it takes as durable, and which it drained.
"""

import asyncio
import os
import sys
from pathlib import Path

import storage.spare
from storage.journal import Journal
from storage.segments import read_portion

SEGMENT = 16 * 1024


async def run(root: Path) -> None:
    journal, number = Journal(root, 1 << 20, SEGMENT), 0
    while True:
        turn = range(number, number + number % 7 + 1)
        entries = [journal.append(b"%08d" % one * 20) for one in turn]
        await asyncio.gather(*(entry.durable() for entry in entries))
        _say("a", turn)
        number = turn.stop
        segment = journal.oldest()
        if segment is not None and number % 3:
            end, payloads = read_portion(segment.path, segment.drained, segment.size, 50, 1 << 20)
            _say("d", [int(payload[:8]) for payload in payloads])
            journal.release(segment, end)


def _say(what: str, numbers: object) -> None:
    # One write: the reader sees all of a line or nothing.
    os.write(1, f"{what} {' '.join(map(str, numbers))}\n".encode())  # type: ignore[call-overload]


if __name__ == "__main__":
    storage.spare.LEAST_BYTES = 1
    asyncio.run(run(Path(sys.argv[1])))
