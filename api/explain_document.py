"""How explanations are described in OpenAPI."""

from __future__ import annotations

from typing import Any

NUMBER = {"type": "number"}
LABEL = {"type": ["number", "string"]}
EXPLANATION: dict[str, Any] = {
    "type": "object",
    "description": "base_value and all contributions sum to prediction_on_scale",
    "required": [
        "scale",
        "base_value",
        "prediction_on_scale",
        "contributions",
        "method",
        "is_exact",
    ],
    "properties": {
        "scale": {"type": "string", "enum": ["log-odds", "probability", "value"]},
        "base_value": NUMBER,
        "prediction_on_scale": NUMBER,
        "calibration": {
            "type": "object",
            "description": "how the model's probability becomes the answer, where it is scaled: "
            "1 / (1 + exp(-(slope * ln(p / (1 - p)) + intercept)))",
            "properties": {"slope": NUMBER, "intercept": NUMBER},
        },
        "contributions": {
            "type": "array",
            "description": "one per feature, largest first",
            "items": {
                "type": "object",
                "required": ["feature", "value", "contribution"],
                "properties": {
                    "feature": {"type": "string"},
                    "value": {"type": ["number", "string", "boolean", "null"]},
                    "contribution": NUMBER,
                },
            },
        },
        "groups": {
            "type": "array",
            "description": "the same by group of features; null: those without a group",
            "items": {
                "type": "object",
                "required": ["group", "contribution"],
                "properties": {"group": {"type": ["string", "null"]}, "contribution": NUMBER},
            },
        },
        "method": {"type": "string"},
        "is_exact": {"type": "boolean"},
        "class": {**LABEL, "description": "the class whose chance is explained"},
    },
}
PARAMETER = {
    "name": "explain",
    "in": "query",
    "description": "true adds an explanation to the answer",
    "schema": {"type": "string", "enum": ["true", "false", "1", "0"]},
}
