"""Trying again, in a moment, what a source did not answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import stamina

from storage.source_errors import SourceDownError

T = TypeVar("T")

ATTEMPTS = 3
SECONDS = 20.0  # no further attempt begins after these; the next turn tries anyway


def tried_again(read: Callable[[], T]) -> T:
    """What ``read`` returns, which only reads: up to three attempts with backoff and jitter.

    Raises its SourceDownError when the last one failed as well; any other error at once.
    """
    retried = stamina.retry(
        on=SourceDownError,
        attempts=ATTEMPTS,
        timeout=SECONDS,
        wait_initial=0.5,
        wait_max=4.0,
        wait_jitter=0.5,
    )(read)
    return retried()
