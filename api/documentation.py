"""`/openapi.json` with the hand-written endpoints, and `/docs` that shows it without a network."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.openapi.utils import get_openapi

from api.explain_document import add_explanations
from api.page import PAGE
from api.routes import Reading

POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'"
)

SCALAR = {"type": ["number", "string", "boolean", "null"]}
LABEL = {"type": ["number", "string", "boolean"]}
TIME = {"type": "string", "format": "date-time"}
PREDICTION_ID = {"type": "string", "pattern": "^[A-Za-z0-9._:-]{1,64}$"}

PREDICT_BODY = {
    "type": "object",
    "required": ["features"],
    "additionalProperties": False,
    "properties": {
        "features": {
            "description": "values by feature name, or a list in the schema's order",
            "oneOf": [
                {"type": "object", "additionalProperties": SCALAR},
                {"type": "array", "items": SCALAR},
            ],
        },
        "key": {"type": ["string", "integer", "null"], "maxLength": 256},
        "event_time": {**TIME, "type": ["string", "null"]},
        "prediction_id": {**PREDICTION_ID, "type": ["string", "null"]},
    },
}
PREDICT_ANSWER = {
    "type": "object",
    "required": ["prediction_id", "prediction", "model_version", "timestamp"],
    "properties": {
        "prediction_id": PREDICTION_ID,
        "prediction": {"type": ["number", "string"]},
        "probability": {"type": "number", "description": "of the positive class"},
        "probabilities": {"type": "object", "additionalProperties": {"type": "number"}},
        "risk_level": {"type": "string"},
        "expected_cost": {"type": "number"},
        "model_version": {"type": "string"},
        "timestamp": TIME,
    },
}
FEEDBACK_ITEM = {
    "type": "object",
    "required": ["prediction_id", "actual"],
    "additionalProperties": False,
    "properties": {
        "prediction_id": PREDICTION_ID,
        "actual": LABEL,
        "observed_at": {**TIME, "type": ["string", "null"]},
    },
}
FEEDBACK_BODY = {
    "oneOf": [
        FEEDBACK_ITEM,
        {
            "type": "object",
            "required": ["items"],
            "additionalProperties": False,
            "properties": {"items": {"type": "array", "items": FEEDBACK_ITEM, "minItems": 1}},
        },
    ]
}
FEEDBACK_ANSWER = {
    "type": "object",
    "properties": {
        "accepted": {"type": "integer"},
        "duplicates": {"type": "integer"},
        "errors": {"type": "array", "items": {"type": "object"}},
    },
}
PROBLEM = {
    "type": "object",
    "properties": {
        name: {"type": "integer" if name == "status" else "string"}
        for name in ("type", "title", "status", "code", "detail", "request_id")
    },
}
REFUSALS = {
    "400": "no strict JSON",
    "401": "no live token",
    "403": "the token lacks the scope",
    "408": "the body did not arrive in time",
    "413": "the body is too long",
    "422": "another document than expected",
    "503": "no model yet, or nothing can be kept now; see Retry-After",
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
    """OpenAPI of all routes below each prefix."""
    if app.openapi_schema is None:
        schema = get_openapi(title=app.title, version=app.version, routes=app.routes)
        schema.setdefault("components", {}).setdefault("securitySchemes", {})["bearer"] = {
            "type": "http",
            "scheme": "bearer",
        }
        for prefix in prefixes:
            schema["paths"][f"{prefix}/predict"] = {
                "post": _operation("predict", prefix, PREDICT_BODY, PREDICT_ANSWER, {})
            }
            add_explanations(schema["paths"], prefix)
            refusals = {"404": "no prediction has this id", "409": "it has another label"}
            schema["paths"][f"{prefix}/feedback"] = {
                "post": _operation("feedback", prefix, FEEDBACK_BODY, FEEDBACK_ANSWER, refusals)
            }
        app.openapi_schema = schema
    return app.openapi_schema


def _operation(
    name: str, prefix: str, body: Any, answer: Any, refusals: dict[str, str]
) -> dict[str, Any]:
    summaries = {
        "predict": "One prediction, stored before it is answered.",
        "feedback": "What really happened to predictions, stored before it is answered.",
    }
    problem = {"application/problem+json": {"schema": PROBLEM}}
    responses: dict[str, Any] = {
        "200": {"description": "stored", "content": {"application/json": {"schema": answer}}}
    }
    for status, description in {**REFUSALS, **refusals}.items():
        responses[status] = {"description": description, "content": problem}
    return {
        "tags": ["answers"],
        "summary": summaries[name],
        "operationId": f"{name}{prefix.replace('/', '_')}",
        "description": f"Needs a token with scope {name}.",
        "security": [{"bearer": []}],
        "requestBody": {"required": True, "content": {"application/json": {"schema": body}}},
        "responses": responses,
    }


HIDDEN = {"include_in_schema": False}
ROUTES = (
    Reading("/openapi.json", openapi, scope=None, options=HIDDEN),
    Reading("/docs", docs, scope=None, options=HIDDEN),
)
