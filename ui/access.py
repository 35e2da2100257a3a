"""Who looks at the status page, and what they may do: the API's own tokens, no passwords."""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from settings import Settings
from storage.credentials import SCOPES, Token, hash_secret

SETTINGS_TOKEN = "settings"  # noqa: S105


@dataclass(frozen=True)
class Viewer:
    """Who is signed in. ``token`` is what the API is asked with; None where it asks for none."""

    name: str
    scopes: tuple[str, ...]
    token: str | None = None

    def may(self, scope: str) -> bool:
        """Whether one of the viewer's scopes allows it."""
        return scope in self.scopes


def open_viewer(settings: Settings, tokens: Sequence[Token]) -> Viewer | None:
    """Who looks without a token: somebody on this machine, while no token exists at all.

    Only where `api_insecure` says that the API answers without tokens, and only on loopback.
    """
    is_open = (
        settings.api_insecure
        and settings.api_token is None
        and not tokens
        and is_loopback(settings.ui_host)
        and is_loopback(settings.api_host)
    )
    return Viewer("this machine", SCOPES) if is_open else None


def token_viewer(settings: Settings, tokens: Sequence[Token], text: str) -> Viewer | None:
    """Who a token belongs to; None for one that is wrong, revoked or expired.

    Compared as bytes in constant time, against a hash whether its id is known or not.
    """
    credential = text.strip().encode()
    digest = hash_secret(credential).encode()
    own = settings.api_token.get_secret_value() if settings.api_token else ""
    if own and hmac.compare_digest(digest, hash_secret(own.encode()).encode()):
        return Viewer(SETTINGS_TOKEN, SCOPES, text.strip())
    name, _, secret = credential.partition(b".")
    token = next((one for one in tokens if one.token_id.encode() == name), None)
    stored = token.secret_sha256.encode() if token else b"0" * 64
    is_right = hmac.compare_digest(hash_secret(secret).encode(), stored)
    if token is None or not is_right or not token.is_live(datetime.now(UTC)):
        return None
    label = f" ({token.label})" if token.label else ""
    return Viewer(f"{token.token_id}{label}", token.scopes, text.strip())


def is_loopback(host: str) -> bool:
    """Whether an address cannot be reached from another machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
