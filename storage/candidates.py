"""The bundle that may take over: its role beside the champion, and whose requests it answers."""

from __future__ import annotations

import hashlib
from typing import Literal

import msgspec

Role = Literal["shadow", "canary"]


class Candidate(msgspec.Struct, frozen=True):
    """A bundle that servers load beside the one that is served.

    In the ``shadow`` it is only tried and answers nobody; as ``canary`` it answers the ``share`` of
    requests whose `position` lies below it.
    """

    version: str
    bundle: str
    role: Role
    share: float = 0.0


def position(problem: str, version: str, name: str) -> float:
    """Where in [0, 1) a request stands among all, by its key: the same on every server, for ever.

    The version counts in, so that the next canary is not tried on the same clients again.
    """
    text = "\0".join((problem, version, name))
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    # 53 bits, which a float holds exactly: 64 would round up to 1.0 now and then.
    return (int.from_bytes(digest, "big") >> 11) / 2**53
