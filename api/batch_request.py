"""What a request for a batch says beside its body."""

from __future__ import annotations

from typing import Literal
from urllib.parse import parse_qs

from starlette.types import Scope

from api.errors import ApiError

JSON = "application/json"
CSV = "text/csv"
ARROW = "application/vnd.apache.arrow.stream"

OnError = Literal["fail", "skip"]


def header(scope: Scope, wanted: bytes) -> str:
    """A header's value in lower case, empty where it was not sent."""
    found = (value for name, value in scope["headers"] if name == wanted)
    return str(next(found, b"").decode("latin-1")).lower()


def media_type(scope: Scope) -> str:
    """The body's media type; JSON where none is sent. Raises ApiError 415 for any other."""
    kind, _, parameters = header(scope, b"content-type").partition(";")
    kind = kind.strip() or JSON
    charset = parameters.partition("charset=")[2].strip(' "') or "utf-8"
    if kind not in (JSON, CSV, ARROW) or charset not in ("utf-8", "utf8"):
        raise ApiError(
            415, "unsupported_media_type", f"expected {JSON}, {CSV} or {ARROW}, texts in UTF-8"
        )
    return kind


def on_error_of(scope: Scope) -> OnError:
    """What shall happen to a batch with wrong rows. Raises ApiError 422 for any other value."""
    values = parse_qs(scope["query_string"].decode("latin-1")).get("on_error", ["fail"])
    if values == ["skip"]:
        return "skip"
    if values != ["fail"]:
        raise ApiError(422, "invalid_request", "on_error: expected fail or skip")
    return "fail"
