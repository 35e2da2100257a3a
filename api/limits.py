"""How much one client, and all clients together, may ask of a process."""

from __future__ import annotations

import math
import time

from prometheus_client import CollectorRegistry, Counter
from starlette.types import ASGIApp, Receive, Scope, Send

from api.errors import ApiError

# What watches a process must get through when it is busiest.
WATCHED = ("/health", "/health/live", "/health/ready", "/metrics")


class Limits:
    """Counts requests under way, and those of each token against a bucket that refills.

    A bucket holds one second's worth, so that a burst passes and a steady excess does not.
    """

    def __init__(self, rate: float, n_at_once: int, registry: CollectorRegistry) -> None:
        self._rate = rate
        self._depth = max(1.0, rate)
        self._n_at_once = n_at_once
        self._n_under_way = 0
        self._buckets: dict[str, list[float]] = {}
        self._refused = Counter(
            "perennial_limited", "Requests refused by a limit.", ("limit",), registry=registry
        )

    def take(self, token_id: str) -> None:
        """Count a request of a token.

        Raises ApiError 429 when the token's requests came faster than its rate for too long.
        """
        if not self._rate:
            return
        now = time.monotonic()
        bucket = self._buckets.get(token_id)
        if bucket is None:
            # Only tokens that exist get here, so there are never many.
            bucket = self._buckets[token_id] = [self._depth, now]
        level = min(self._depth, bucket[0] + (now - bucket[1]) * self._rate)
        bucket[1] = now
        if level < 1:
            bucket[0] = level
            self._refused.labels("rate").inc()
            wait = math.ceil((1 - level) / self._rate)
            detail = f"expected at most {self._rate:g} requests a second from one token"
            raise ApiError(429, "rate_limited", detail, {"Retry-After": str(wait)})
        bucket[0] = level - 1

    def enter(self, path: str) -> None:
        """Count a request in; whoever does not get ApiError 503 must `leave`."""
        if self._n_under_way >= self._n_at_once and not path.endswith(WATCHED):
            self._refused.labels("concurrency").inc()
            detail = f"{self._n_at_once} requests are being answered; send this one again soon"
            raise ApiError(503, "overloaded", detail, {"Retry-After": "1"})
        self._n_under_way += 1

    def leave(self) -> None:
        """Count a request out."""
        self._n_under_way -= 1


class Limited:
    """An ASGI app behind the limit on requests under way."""

    def __init__(self, app: ASGIApp, limits: Limits) -> None:
        self._app = app
        self._limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or raise ApiError 503."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        self._limits.enter(scope["path"])
        try:
            await self._app(scope, receive, send)
        finally:
            self._limits.leave()
