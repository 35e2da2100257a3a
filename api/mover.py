"""Who moves journal records into SQL for a server: this process, or one beside it."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import msgspec

from storage.drain_messages import Moved, Portion, Work, receive, send

if TYPE_CHECKING:
    from storage.drain import Mover

END_SECONDS = 5.0


class MoveError(Exception):
    """Nothing was moved; ``kind`` names what was in the way."""

    def __init__(self, kind: str) -> None:
        super().__init__(kind)
        self.kind = kind


class MoverHere:
    """Moves in the thread that asks; its libraries are loaded at the first move."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._mover: Mover | None = None

    def move(self, portion: Portion) -> Moved:
        """Move a portion of a segment."""
        from storage.drain import mover

        if self._mover is None:
            self._mover = mover(self._work)
        return self._mover.move(portion)

    def close(self) -> None:
        """Let go of the database."""
        if self._mover is not None:
            self._mover.close()


class MoverBeside:
    """Moves in a process of its own, begun at the first move and again when it died."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._process: subprocess.Popen[bytes] | None = None

    def move(self, portion: Portion) -> Moved:
        """Move a portion of a segment.

        Raises MoveError when SQL or the process failed: nothing is known to be moved then.
        """
        process = self._process or self._begin()
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            send(process.stdin, portion)
            content = receive(process.stdout)
        except OSError:
            content = None
        if content is None:
            self.close()
            raise MoveError("MoverDied")
        moved = msgspec.msgpack.decode(content, type=Moved)
        if moved.failure is not None:
            raise MoveError(moved.failure)
        return moved

    def close(self) -> None:
        """End the process: it does so by itself when its input ends, unless it hangs."""
        process, self._process = self._process, None
        if process is None:
            return
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.close()
            process.wait(END_SECONDS)
        except (OSError, subprocess.TimeoutExpired):
            process.kill()
            process.wait()
        process.stdout.close()

    def _begin(self) -> subprocess.Popen[bytes]:
        process = self._process = subprocess.Popen(
            [sys.executable, "-m", "storage.drain"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert process.stdin is not None
        # Over the pipe: an argument would show the database's password to everybody.
        send(process.stdin, self._work)
        return process
