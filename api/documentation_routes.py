"""What each route takes and answers, for the description and for the tests that hold it to it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from api import documentation_bodies as bodies
from api import documentation_schemas as schemas
from api.batch_request import ARROW, CSV, JSON
from api.documentation_schemas import Schema
from api.explain_document import PARAMETER as EXPLAIN
from storage.manifest import Manifest

HTML = "text/html"
PLAIN = "text/plain"
BINARY: Schema = {"type": "string", "format": "binary"}
ON_ERROR = {
    "name": "on_error",
    "in": "query",
    "description": "a wrong row fails the batch whole, or only itself",
    "schema": {"type": "string", "enum": ["fail", "skip"], "default": "fail"},
}
PREDICTION = {
    "name": "prediction_id",
    "in": "path",
    "required": True,
    "schema": schemas.PREDICTION_ID,
}
BODY = {
    "400": "no strict JSON, CSV or Arrow",
    "408": "the body did not arrive in time",
    "413": "the body is too long",
    "422": "another document than expected",
}
FULL = {"503": "no model yet, too busy, or nothing can be kept now; see Retry-After"}
ASKING = {"503": "the database does not answer, or too busy; see Retry-After"}
GUARDED = {
    "401": "no live token",
    "403": "the token lacks the scope",
    "429": "the token asks too fast; see Retry-After",
}
ALWAYS = {"500": "something failed here; nothing was kept"}
BUSY = {"503": "too busy; see Retry-After"}


@dataclass(frozen=True)
class Operation:
    """One route: ``bodies`` and ``answers`` by media type, ``refusals`` by status."""

    path: str
    method: str
    scope: str | None
    summary: str
    answers: dict[str, Schema]
    refusals: dict[str, str] = field(default_factory=dict)
    bodies: dict[str, Schema] = field(default_factory=dict)
    parameters: tuple[Schema, ...] = ()
    tag: str = "answers"
    details: str = ""

    @property
    def statuses(self) -> dict[str, str]:
        """Every status but 200 that the route may answer with."""
        guarded = GUARDED if self.scope else {}
        bodied = BODY if self.bodies else {}
        found = {**bodied, **guarded, **ALWAYS, **BUSY, **self.refusals}
        return dict(sorted(found.items()))


def operations(manifest: Manifest | None) -> tuple[Operation, ...]:
    """The routes of one problem, described with the schema of the model that it serves."""
    row = bodies.row_schema(manifest)
    n_features = len(manifest.features) if manifest else None
    single = {JSON: bodies.predict_body(row, n_features)}
    return (
        Operation(
            "/predict",
            "post",
            "predict",
            "One prediction, stored before it is answered.",
            {JSON: schemas.PREDICT_ANSWER},
            {**FULL, "422": "another document than expected, or no explanation"},
            single,
            (EXPLAIN,),
        ),
        Operation(
            "/explain",
            "post",
            "predict",
            "A prediction with its explanation; nothing is stored.",
            {JSON: schemas.EXPLAIN_ANSWER},
            {**FULL, "422": "another document than expected, or no explanation"},
            single,
        ),
        _batch(manifest, row),
        Operation(
            "/feedback",
            "post",
            "feedback",
            "What really happened to predictions, stored before it is answered.",
            {JSON: schemas.FEEDBACK_ANSWER},
            {"404": "no prediction has this id", "409": "it has another label", **FULL},
            {JSON: schemas.FEEDBACK_BODY},
        ),
        Operation(
            "/generate",
            "post",
            "admin",
            "Labelled rows of a shipped problem, put into the inbox.",
            {JSON: schemas.GENERATE_ANSWER},
            {"404": "this problem has no generator", "501": "not installed here"},
            {JSON: schemas.GENERATE_BODY},
        ),
        *_READING,
    )


def _batch(manifest: Manifest | None, row: Schema) -> Operation:
    names = list(bodies.example_row(manifest)) if manifest else ["feature"]
    table = {"type": "string", "description": "a header line of feature names, then the rows"}
    return Operation(
        "/predict/batch",
        "post",
        "predict",
        "Many predictions, all stored before they are answered.",
        {JSON: schemas.BATCH_ANSWER, ARROW: BINARY},
        {**FULL, "415": "another media type", "422": "another document, or rows that are wrong"},
        {
            JSON: bodies.batch_body(row),
            CSV: {**table, "examples": [",".join(names) + "\n" + "," * (len(names) - 1) + "\n"]},
            ARROW: {**BINARY, "description": "a stream with one column per feature"},
        },
        (ON_ERROR,),
        details="Answers in columns, one value for each row sent, null where a row is wrong; as "
        "an Arrow stream to who accepts it. CSV and Arrow may have the columns key, event_time "
        "and prediction_id too.",
    )


_READING = (
    Operation(
        "/predictions/{prediction_id}",
        "get",
        "read",
        "A prediction with its inputs and its feedback.",
        {JSON: schemas.STORED_PREDICTION},
        {"404": "no prediction has this id", "422": "not an id", **ASKING},
        {},
        (PREDICTION,),
        "state",
    ),
    Operation(
        "/model/info",
        "get",
        "read",
        "The model that answers: where it comes from and what it takes.",
        {JSON: schemas.MODEL_INFO},
        {"503": "no model yet, or too busy; see Retry-After"},
        tag="state",
    ),
    Operation(
        "/drift/report",
        "get",
        "read",
        "The latest drift check; Evidently's document to who accepts text/html.",
        {JSON: schemas.DRIFT_REPORT, HTML: schemas.TEXT},
        {"404": "no drift check yet, or it left no document", **ASKING},
        tag="state",
    ),
    Operation(
        "/metrics",
        "get",
        "read",
        "Prometheus' text; loopback needs no token.",
        {PLAIN: schemas.TEXT},
        tag="state",
    ),
    Operation(
        "/health",
        "get",
        None,
        "Status, and in words what is wrong.",
        {JSON: schemas.HEALTH},
        tag="state",
    ),
    Operation(
        "/health/live",
        "get",
        None,
        "200 while the process answers at all.",
        {JSON: schemas.ALIVE},
        tag="state",
    ),
    Operation(
        "/health/ready",
        "get",
        None,
        "200 once a model answers.",
        {JSON: schemas.ALIVE},
        {"503": "no model yet"},
        tag="state",
    ),
)
SITE = (
    Operation(
        "/docs", "get", None, "This description as a page.", {HTML: schemas.TEXT}, tag="site"
    ),
    Operation(
        "/openapi.json", "get", None, "This description.", {JSON: {"type": "object"}}, tag="site"
    ),
)


def describe_operation(operation: Operation, prefix: str) -> dict[str, Any]:
    """The operation object of OpenAPI."""
    problem = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    request_id = {"X-Request-ID": {"schema": schemas.TEXT}}
    ok = {kind: {"schema": schema} for kind, schema in operation.answers.items()}
    responses: dict[str, Any] = {
        "200": {"description": "done", "headers": request_id, "content": ok}
    }
    for status, description in operation.statuses.items():
        headers: dict[str, Any] = dict(request_id)
        if status == "429":
            headers["Retry-After"] = {"schema": schemas.TEXT}
        responses[status] = {"description": description, "headers": headers, "content": problem}
    words = f"{operation.method}{prefix}{operation.path}"
    needs = f"Needs a token with scope {operation.scope}." if operation.scope else "Needs no token."
    described: dict[str, Any] = {
        "tags": [operation.tag],
        "summary": operation.summary,
        "operationId": "_".join(words.translate(str.maketrans("/{}", "_  ")).split()),
        "description": f"{operation.details} {needs}".strip(),
        "security": [{"bearer": [operation.scope]}] if operation.scope else [],
        "responses": responses,
    }
    if operation.parameters:
        described["parameters"] = list(operation.parameters)
    if operation.bodies:
        content = {kind: {"schema": schema} for kind, schema in operation.bodies.items()}
        described["requestBody"] = {"required": True, "content": content}
    return described
