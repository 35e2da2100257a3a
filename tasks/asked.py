"""What a person asked for by hand and could not have."""

from __future__ import annotations


class AskedInVainError(Exception):
    """It cannot be done; the message tells who asked for it why, and nobody else is alarmed.

    The run fails, but that is no incident: it would stay open until somebody asks for the same
    flow again.
    """
