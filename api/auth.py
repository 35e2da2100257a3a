"""Who may ask what: bearer tokens with scopes."""

from __future__ import annotations

import contextlib
import hmac
import ipaddress
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from fastapi import Request
from loguru import logger
from starlette.types import Scope

from api.errors import ApiError
from api.limits import Limits
from settings import Settings
from storage.bundles import write_atomically
from storage.credentials import SCOPES, Token, hash_secret, sqlite_path

REFRESH_SECONDS = 0.4
# Unknown tokens make us look for new ones at most this often.
LOOK_SECONDS = 0.05
SETTINGS_TOKEN = "settings"  # noqa: S105


def is_loopback(host: str) -> bool:
    """Whether an address cannot be reached from another machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Gate:
    """Checks tokens against a list that a thread keeps fresh; SQL is not asked by requests.

    The list is also kept in a file of hashes, so that tokens work after a start without SQL.
    """

    def __init__(self, settings: Settings, load: Callable[[], tuple[Token, ...]]) -> None:
        secret = settings.api_token.get_secret_value() if settings.api_token else ""
        self._own = hash_secret(secret.encode()).encode() if secret else None
        self._may_open = settings.api_insecure and is_loopback(settings.api_host)
        self._load = load
        self._file: Path = settings.home / "serving" / ".tokens.json"
        self._tokens: dict[bytes, Token] = {}
        self._written: bytes | None = None
        self.limits: Limits | None = None
        self._is_quick = sqlite_path(settings.sql_url) is not None
        self._looked_at = float("-inf")
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="tokens", daemon=True)

    def start(self) -> None:
        """Read the tokens and follow their changes."""
        self.recall()
        self._thread.start()

    def stop(self) -> None:
        """Stop following."""
        self._stop.set()

    def check(self, scope: Scope, wanted: str) -> str | None:
        """Id of the token that opens this request, or None where no token is needed.

        Raises ApiError 401 without a live token, 403 when it lacks the scope ``wanted``, 429 when
        it asks too fast.
        """
        header = next((value for name, value in scope["headers"] if name == b"authorization"), b"")
        token_id = scope["exchange"].token_id = self.admit(header, wanted)
        return token_id

    def admit(self, authorization: bytes, wanted: str) -> str | None:
        """The same for an ``Authorization`` header alone."""
        if not authorization and self._is_open():
            return None
        token_id, scopes = self._read(authorization)
        if token_id is None:
            raise ApiError(
                401,
                "unauthenticated",
                "expected a live token: Authorization: Bearer ID.SECRET "
                "(`perennial token create` makes one)",
                {"WWW-Authenticate": "Bearer"},
            )
        if self.limits is not None:
            self.limits.take(token_id)
        if wanted not in scopes:
            raise ApiError(403, "missing_scope", f"this route needs a token with scope {wanted}")
        return token_id

    def knows(self, authorization: bytes, wanted: str) -> bool:
        """Whether such a header opens what needs this scope, however often it is used."""
        if not authorization and self._is_open():
            return True
        return wanted in self._read(authorization)[1]

    def refresh(self) -> None:
        """Read the tokens once; when SQL does not answer the last known ones stay."""
        try:
            tokens = self._load()
        except Exception as error:
            logger.debug("tokens cannot be read: {}", type(error).__name__)
            return
        self._tokens = {token.token_id.encode(): token for token in tokens}
        self._remember(tokens)

    def recall(self) -> None:
        """Read the tokens from SQL; when it does not answer, as they were last known."""
        with contextlib.suppress(OSError, msgspec.MsgspecError):
            tokens = msgspec.json.decode(self._file.read_bytes(), type=tuple[Token, ...])
            self._tokens = {token.token_id.encode(): token for token in tokens}
        self.refresh()

    @property
    def has_live_token(self) -> bool:
        """Whether any token opens anything now."""
        now = datetime.now(UTC)
        return self._own is not None or any(token.is_live(now) for token in self._tokens.values())

    def _is_open(self) -> bool:
        return self._may_open and self._own is None and not self._tokens

    def _read(self, authorization: bytes) -> tuple[str | None, tuple[str, ...]]:
        """Id and scopes of the live token in a header; None and no scopes without one."""
        kind, _, credential = authorization.partition(b" ")
        return self._identify(credential.strip()) if kind.lower() == b"bearer" else _NO

    def _identify(self, credential: bytes) -> tuple[str | None, tuple[str, ...]]:
        # Bytes all the way: a token with other letters than ASCII is wrong, not an error.
        if self._own is not None and hmac.compare_digest(
            hash_secret(credential).encode(), self._own
        ):
            return SETTINGS_TOKEN, SCOPES
        name, _, secret = credential.partition(b".")
        token = self._tokens.get(name) or self._look_again(name)
        stored = token.secret_sha256.encode() if token else b"0" * 64
        is_right = hmac.compare_digest(hash_secret(secret).encode(), stored)
        if token is None or not is_right or not token.is_live(datetime.now(UTC)):
            return _NO
        return token.token_id, token.scopes

    def _look_again(self, name: bytes) -> Token | None:
        """A token that was made since the list was read, where reading it takes no time."""
        now = time.monotonic()
        if not self._is_quick or now - self._looked_at < LOOK_SECONDS:
            return None
        self._looked_at = now
        self.refresh()
        return self._tokens.get(name)

    def _follow(self) -> None:
        while not self._stop.wait(REFRESH_SECONDS):
            self.refresh()

    def _remember(self, tokens: tuple[Token, ...]) -> None:
        content = msgspec.json.encode(tokens)
        if content == self._written:
            return
        try:
            write_atomically(self._file, content)
            self._file.chmod(0o600)
            self._written = content
        except OSError as error:
            logger.warning("the token list cannot be kept: {}", error.strerror)


_NO: tuple[None, tuple[str, ...]] = (None, ())


class Requires:
    """Dependency that declares and checks a route's scope; None means anybody may ask."""

    def __init__(self, scope: str | None, is_free_on_loopback: bool = False) -> None:
        self.scope = scope
        self._is_free_on_loopback = is_free_on_loopback

    async def __call__(self, request: Request) -> None:
        """Let the request pass or raise ApiError."""
        if self.scope is None:
            return
        client = request.client.host if request.client else ""
        if self._is_free_on_loopback and is_loopback(client):
            return
        gate: Gate = request.app.state.runtime.gate
        gate.check(request.scope, self.scope)
