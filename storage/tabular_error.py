"""What is wrong with a table that cannot be read."""

from __future__ import annotations


class TableError(Exception):
    """A file is not a table that can be read; ``code`` names the cause."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
