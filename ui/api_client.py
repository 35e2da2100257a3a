"""What the status page asks the API, with the viewer's own token."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx

ASK_SECONDS = 10.0
GENERATE_SECONDS = 130.0
HEALTH_SECONDS = 0.5


class ApiUnavailableError(Exception):
    """The API did not answer, or refused; the message is for a person."""


@dataclass(frozen=True)
class Api:
    """One problem's routes at an address."""

    base: str
    problem: str
    token: str | None = None

    def health(self) -> dict[str, Any]:
        """Status and reasons; asked on every look, so it may not take long."""
        return self._ask("GET", "/health", None, HEALTH_SECONDS)

    def explain(self, features: Mapping[str, Any]) -> dict[str, Any]:
        """The answer for some features and its explanation; nothing is stored."""
        return self._ask("POST", "/explain", {"features": dict(features)}, ASK_SECONDS)

    def generate(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Have rows generated into the inbox."""
        return self._ask("POST", "/generate", body, GENERATE_SECONDS)

    def _ask(
        self, method: str, route: str, body: Mapping[str, Any] | None, seconds: float
    ) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        url = f"{self.base}/problems/{self.problem}{route}"
        try:
            answer = httpx.request(
                method, url, json=body, headers=headers, timeout=seconds, trust_env=False
            )
        except httpx.HTTPError as error:
            raise ApiUnavailableError(
                f"the API at {self.base} does not answer ({type(error).__name__}); "
                "`make up` starts it, `perennial serve` the API alone"
            ) from error
        try:
            document: Any = answer.json()
        except ValueError:
            document = None
        if not isinstance(document, dict):
            raise ApiUnavailableError(f"{self.base} answered {answer.status_code} without JSON")
        if answer.status_code >= 400:
            said = document.get("detail") or document.get("code") or "no reason given"
            raise ApiUnavailableError(f"{answer.status_code}: {said}")
        return document
