"""Bodies and answers as OpenAPI describes them."""

from __future__ import annotations

from typing import Any

from api.batch_rows import ERRORS_LIMIT
from api.decoder import KEY_LIMIT
from api.explain_document import EXPLANATION
from api.feedback import ITEMS_LIMIT
from api.generate import ROWS_LIMIT as GENERATE_LIMIT
from storage.encoding import TEXT_LIMIT

Schema = dict[str, Any]

TEXT: Schema = {"type": "string"}
NUMBER: Schema = {"type": "number"}
COUNT: Schema = {"type": "integer", "minimum": 0}
LABEL: Schema = {"type": ["number", "string"]}
SCALAR: Schema = {
    "type": ["number", "string", "boolean", "null"],
    "maxLength": TEXT_LIMIT,
}
TIME: Schema = {"type": "string", "format": "date-time"}
PREDICTION_ID: Schema = {"type": "string", "pattern": "^[A-Za-z0-9._:-]{1,64}$"}
KEY: Schema = {
    "type": ["string", "integer", "null"],
    "maxLength": KEY_LIMIT,
    "minimum": -(2**63),
    "maximum": 2**63 - 1,
}


def nullable(schema: Schema) -> Schema:
    """The same, or null."""
    kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    return {**schema, "type": [*kinds, "null"]}


def record(properties: Schema, *optional: str, is_closed: bool = False) -> Schema:
    """An object with these properties, all required but the ``optional`` ones."""
    schema: Schema = {
        "type": "object",
        "required": [name for name in properties if name not in optional],
        "properties": properties,
    }
    return {**schema, "additionalProperties": False} if is_closed else schema


def listed(items: Schema, **more: Any) -> Schema:
    """An array of these items."""
    return {"type": "array", "items": items, **more}


PREDICT_ANSWER = record(
    {
        "prediction_id": PREDICTION_ID,
        "prediction": LABEL,
        "probability": {**NUMBER, "description": "of the positive class"},
        "probabilities": {"type": "object", "additionalProperties": NUMBER},
        "risk_level": TEXT,
        "expected_cost": NUMBER,
        "model_version": TEXT,
        "timestamp": TIME,
        "explanation": EXPLANATION,
    },
    *("probability", "probabilities", "risk_level", "expected_cost", "explanation"),
)
_DECIDED = {
    name: schema
    for name, schema in PREDICT_ANSWER["properties"].items()
    if name not in ("prediction_id", "explanation")
}
EXPLAIN_ANSWER = record(
    {**_DECIDED, **EXPLANATION["properties"]},
    *("probability", "probabilities", "risk_level", "expected_cost", "groups", "class"),
    "calibration",
)
ROW_ERROR = record({"index": COUNT, "code": TEXT, "detail": TEXT})
OPTIONAL_COLUMNS = ("probabilities", "risk_levels", "expected_costs")
BATCH_ANSWER = record(
    {
        "prediction_ids": listed(nullable(PREDICTION_ID)),
        "predictions": listed(nullable(LABEL)),
        "probabilities": {
            "description": "of the positive class; with more than two classes, one list for each",
            "oneOf": [
                listed(nullable(NUMBER)),
                {"type": "object", "additionalProperties": listed(nullable(NUMBER))},
            ],
        },
        "risk_levels": listed(nullable(TEXT)),
        "expected_costs": listed(nullable(NUMBER)),
        "model_version": TEXT,
        "timestamp": TIME,
        "n_errors": COUNT,
        "errors": listed(ROW_ERROR, maxItems=ERRORS_LIMIT),
        "stored": {
            **listed(record({"index": COUNT, "model_version": TEXT, "timestamp": TIME})),
            "description": "rows whose prediction_id was answered before: as it was then",
        },
    },
    *OPTIONAL_COLUMNS,
)
FEEDBACK_ITEM = record(
    {
        "prediction_id": PREDICTION_ID,
        "actual": {"type": ["number", "string", "boolean"]},
        "observed_at": nullable(TIME),
    },
    "observed_at",
    is_closed=True,
)
FEEDBACK_BODY = {
    "oneOf": [
        FEEDBACK_ITEM,
        record({"items": listed(FEEDBACK_ITEM, minItems=1, maxItems=ITEMS_LIMIT)}, is_closed=True),
    ]
}
FEEDBACK_ANSWER = record(
    {"accepted": COUNT, "duplicates": COUNT, "errors": listed({"type": "object"})}
)
GENERATE_BODY = record(
    {
        "rows": {"type": "integer", "minimum": 1, "maximum": GENERATE_LIMIT},
        "drift": {
            **TEXT,
            "enum": ["none", "sudden", "gradual", "incremental", "recurring"],
        },
        "of": {**TEXT, "enum": ["inputs", "target", "both"]},
    },
    "drift",
    "of",
    is_closed=True,
)
GENERATE_ANSWER = record(
    {"problem": TEXT, "file": TEXT, "n_rows": COUNT, "first_row": COUNT, "drift": TEXT}
)
STORED_PREDICTION = record(
    {
        "problem": TEXT,
        "prediction_id": PREDICTION_ID,
        "model_version": TEXT,
        "key": nullable(TEXT),
        "event_time": TIME,
        "features": {"oneOf": [{"type": "object"}, listed({})]},
        "prediction": LABEL,
        "probabilities": nullable(listed(NUMBER)),
        "answer": PREDICT_ANSWER,
        "created_at": TIME,
        "feedback": nullable(record({"actual": LABEL, "observed_at": TIME, "received_at": TIME})),
    }
)
MODEL_INFO = record(
    {
        **dict.fromkeys(("problem", "version", "sha256", "metric", "target", "model_kind"), TEXT),
        "generation": COUNT,
        "state": {**TEXT, "enum": ["champion", "shadow", "canary"]},
        "task": {**TEXT, "enum": ["binary", "multiclass", "regression"]},
        "trained_at": TEXT,
        "data_version": COUNT,
        "n_training_rows": COUNT,
        "metrics": {"type": "object", "additionalProperties": nullable(NUMBER)},
        "threshold": nullable(NUMBER),
        "classes": listed(LABEL),
        "schema": listed(record({"name": TEXT, "kind": TEXT}), minItems=1),
        "mlflow_run_id": nullable(TEXT),
    }
)
DRIFT_REPORT = record(
    {
        **dict.fromkeys(("run_id", "problem", "model_version", "reason"), TEXT),
        "is_drifted": {"type": "boolean"},
        "drift_share": nullable(NUMBER),
        "n_reference": COUNT,
        "n_current": COUNT,
        "features": listed({"type": "object"}),
        "checked_at": TIME,
        "has_report": {"type": "boolean"},
    }
)
HEALTH = record(
    {
        "status": {**TEXT, "enum": ["ok", "degraded", "unavailable"]},
        "reasons": listed(TEXT),
        "model_version": nullable(TEXT),
        "journal_backlog": COUNT,
        "last_run_age_seconds": nullable(NUMBER),
    }
)
ALIVE = record({"status": {"const": "ok"}})
PROBLEM = record(
    {
        "type": TEXT,
        "title": TEXT,
        "status": {"type": "integer"},
        "code": {**TEXT, "description": "for programs"},
        "detail": {**TEXT, "description": "for people: what was found and what was expected"},
        "request_id": TEXT,
        "n_errors": COUNT,
        "errors": listed({"type": "object"}),
    },
    "n_errors",
    "errors",
)
