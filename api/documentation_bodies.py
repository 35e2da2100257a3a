"""Bodies of predictions as OpenAPI describes them, with the schema of the model that is served."""

from __future__ import annotations

from typing import Any

from api.batch_rows import ROWS_LIMIT
from api.documentation_schemas import (
    KEY,
    PREDICTION_ID,
    SCALAR,
    TEXT,
    TIME,
    Schema,
    listed,
    nullable,
    record,
)
from storage.encoding import FLOAT32_MAX
from storage.manifest import FeatureSpec, Manifest


def feature_schema(feature: FeatureSpec) -> Schema:
    """What may be sent for one feature; null, or nothing at all, is a missing value."""
    if feature.kind == "numeric":
        bounds = {"minimum": -FLOAT32_MAX, "maximum": FLOAT32_MAX}
        return {"type": ["number", "boolean", "null"], **bounds}
    known = ", ".join(feature.categories[:20])
    return {**SCALAR, "description": f"a category; known: {known}"}


def example_row(manifest: Manifest) -> dict[str, Any]:
    """A row that the model was tried with, as a client would send it."""
    encoded = manifest.golden.inputs[0]
    row: dict[str, Any] = {}
    for feature, value in zip(manifest.features, encoded, strict=True):
        if feature.kind == "numeric":
            row[feature.name] = value
        else:
            code = -1 if value is None else int(value)
            row[feature.name] = feature.categories[code] if code >= 0 else None
    return row


def row_schema(manifest: Manifest | None) -> Schema:
    """One row of named features, of the served schema where a model is served."""
    if manifest is None:
        return {"type": "object", "additionalProperties": SCALAR}
    properties = {feature.name: feature_schema(feature) for feature in manifest.features}
    return {
        "type": "object",
        "additionalProperties": False,
        "properties": properties,
        "examples": [example_row(manifest)],
    }


def predict_body(row: Schema, n_features: int | None) -> Schema:
    """The body of `/predict`; ``row`` is the schema of one row."""
    length = {} if n_features is None else {"minItems": n_features, "maxItems": n_features}
    features = {
        "description": "values by feature name, or all of them in the schema's order",
        "oneOf": [row, listed(SCALAR, **length)],
    }
    return record(
        {
            "features": features,
            "key": KEY,
            "event_time": nullable(TIME),
            "prediction_id": nullable(PREDICTION_ID),
        },
        "key",
        "event_time",
        "prediction_id",
        is_closed=True,
    )


def batch_body(row: Schema) -> Schema:
    """The JSON bodies of `/predict/batch`."""
    asides = {
        "keys": listed(KEY),
        "event_times": listed(nullable(TIME)),
        "prediction_ids": listed(nullable(PREDICTION_ID)),
    }
    bounds = {"minItems": 1, "maxItems": ROWS_LIMIT}
    rows = {"rows": listed(row, **bounds), **asides}
    columns = {"columns": listed(TEXT), "data": listed(listed(SCALAR), **bounds), **asides}
    return {"oneOf": [record(each, *asides, is_closed=True) for each in (rows, columns)]}
