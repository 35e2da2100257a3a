"""Answers that say no: problem documents (RFC 9457) that never repeat what was sent."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import msgspec
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

PROBLEM_JSON = "application/problem+json"


class ApiError(Exception):
    """A request that is refused; ``code`` is for programs, ``detail`` for people."""

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        headers: Mapping[str, str] | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.headers = dict(headers or {})
        self.extra = dict(extra or {})


class ClientGoneError(Exception):
    """The client hung up before its request was read."""


def no_model() -> ApiError:
    """The refusal before a problem has its first model."""
    return ApiError(
        503,
        "no_model",
        "no model has been promoted yet; it answers by itself as soon as one is",
        {"Retry-After": "5"},
    )


def storage_unavailable() -> ApiError:
    """The refusal while the database does not answer."""
    return ApiError(
        503,
        "storage_unavailable",
        "the database does not answer; predictions go on, try this again soon",
        {"Retry-After": "5"},
    )


def problem(error: ApiError, request_id: str) -> Response:
    """The response that tells a client of an error."""
    document = {
        "type": "about:blank",
        "title": HTTPStatus(error.status).phrase,
        "status": error.status,
        "code": error.code,
        "detail": error.detail,
        "request_id": request_id,
        **error.extra,
    }
    return Response(
        msgspec.json.encode(document), error.status, error.headers, media_type=PROBLEM_JSON
    )


def install(app: FastAPI) -> None:
    """Let the framework's own refusals read like ours."""
    app.add_exception_handler(HTTPException, _refuse_http)
    app.add_exception_handler(RequestValidationError, _refuse_invalid)


async def _refuse_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    details = {
        404: ("not_found", "no such route; the routes are listed at /docs"),
        405: ("method_not_allowed", "this route has other methods; see the Allow header"),
    }
    code, detail = details.get(error.status_code, ("refused", "the request was refused"))
    refusal = ApiError(error.status_code, code, detail, error.headers)
    return problem(refusal, request.scope["exchange"].request_id)


async def _refuse_invalid(request: Request, _error: Exception) -> Response:
    refusal = ApiError(
        422, "invalid_request", "a parameter has another type or size than /docs says"
    )
    return problem(refusal, request.scope["exchange"].request_id)
