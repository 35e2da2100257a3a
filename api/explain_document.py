"""How explanations are described in OpenAPI."""

from __future__ import annotations

import copy
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


def add_explanations(paths: dict[str, Any], prefix: str) -> None:
    """Describe `/explain` like `/predict` below a prefix, and the latter's parameter."""
    predict = paths[f"{prefix}/predict"]["post"]
    explain = copy.deepcopy(predict)
    explain["summary"] = "A prediction with its explanation; nothing is stored."
    explain["operationId"] = f"explain{prefix.replace('/', '_')}"
    answered = explain["responses"]["200"]
    answered["description"] = "explained"
    answer = answered["content"]["application/json"]["schema"]
    answer["required"] = [
        *(name for name in answer["required"] if name != "prediction_id"),
        *EXPLANATION["required"],
    ]
    answer["properties"] = {**answer["properties"], **EXPLANATION["properties"]}
    del answer["properties"]["prediction_id"]
    for operation in (predict, explain):
        refusals = operation["responses"]
        refusals["422"] = {**refusals["422"], "description": "another document, or no explanation"}
    paths[f"{prefix}/explain"] = {"post": explain}
    content = copy.deepcopy(predict["responses"]["200"])
    content["content"]["application/json"]["schema"]["properties"]["explanation"] = EXPLANATION
    predict["responses"]["200"] = content
    predict["parameters"] = [*predict.get("parameters", []), PARAMETER]
