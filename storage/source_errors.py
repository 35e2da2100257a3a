"""What reading a source may end in: it is down for now, or its answer will not do."""

from __future__ import annotations


class SourceError(Exception):
    """A source cannot be read as the problem file says; ``code`` names the cause.

    Trying again at once would end the same way; the next turn of the loop does.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class SourceDownError(SourceError):
    """A source does not answer, is locked or busy: worth another try in a moment."""
