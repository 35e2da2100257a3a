"""`/openapi.json`, and `/docs` that shows it without a network."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI, Request, Response

from api.documentation_routes import SITE, describe_operation, operations
from api.documentation_schemas import PROBLEM
from api.page import PAGE
from api.routes import Reading
from api.runtime import Runtime

OPENAPI = "3.1.0"
POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'"
)
BEARER = {
    "type": "http",
    "scheme": "bearer",
    "description": "ID.SECRET of `perennial token create --scope …`; the scopes are predict, "
    "feedback, read and admin",
}


async def openapi(request: Request) -> dict[str, Any]:
    """The description of every route."""
    app: FastAPI = request.app
    return app.openapi()


async def docs() -> Response:
    """A page that shows the description and needs nothing from elsewhere."""
    headers = {"Content-Security-Policy": POLICY, "X-Content-Type-Options": "nosniff"}
    return Response(PAGE, media_type="text/html", headers=headers)


def describe(app: FastAPI, prefixes: list[str]) -> dict[str, Any]:
    """OpenAPI of all routes below each prefix, with the schemas of the models that answer now."""
    runtime: Runtime = app.state.runtime
    models = {problem: slot.model for problem, slot in runtime.slots.items()}
    served = {problem: model and model.pointer for problem, model in models.items()}
    known: tuple[Any, dict[str, Any]] | None = getattr(app.state, "description", None)
    if known is not None and known[0] == served:
        return known[1]
    paths: dict[str, Any] = {}
    for prefix in prefixes:
        model = models[prefix.rpartition("/")[2] or runtime.problems[0]]
        for operation in operations(model.manifest if model else None):
            described = describe_operation(operation, prefix)
            paths.setdefault(prefix + operation.path, {})[operation.method] = described
    for operation in SITE:
        paths[operation.path] = {operation.method: describe_operation(operation, "")}
    document = {
        "openapi": OPENAPI,
        "info": {"title": app.title, "version": app.version},
        "paths": paths,
        "components": {"schemas": {"Problem": PROBLEM}, "securitySchemes": {"bearer": BEARER}},
    }
    app.state.description = (served, document)
    return document


HIDDEN = {"include_in_schema": False}
ROUTES = (
    Reading("/openapi.json", openapi, scope=None, options=HIDDEN),
    Reading("/docs", docs, scope=None, options=HIDDEN),
)
