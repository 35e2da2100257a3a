"""Writes docs/api-reference.md, every route with its bodies, answers and refusals, from OpenAPI."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from api.app import create_app  # noqa: E402
from settings import Settings  # noqa: E402

TARGET = ROOT / "docs" / "api-reference.md"
Schema = dict[str, Any]
INTRODUCTION = """\
# API reference

Every route, from the same OpenAPI document that a running server gives at `/openapi.json` and shows
at `/docs`; there the features of the models that answer stand in the schemas, too. How to use it,
with examples: [guide](api.md), [clients](clients.md).

A token goes into the header `Authorization: Bearer ID.SECRET`. With several problems each route
also stands at `/problems/NAME/…`.

This page is made by `python docs/make_api_reference.py`.
"""


def document() -> Schema:
    """The OpenAPI document of a server that has no model yet."""
    with TemporaryDirectory() as home:
        settings = Settings(_env_file=None, home=Path(home), api_insecure=True)  # type: ignore[call-arg]
        described: Schema = create_app(settings, ("linear",)).openapi()
    return described


def page(described: Schema) -> str:
    """The page as Markdown."""
    parts = [INTRODUCTION, "## All refusals\n", *_refusal(described)]
    for path, operations in described["paths"].items():
        if path.startswith("/problems/"):
            continue
        for method, operation in operations.items():
            parts += _operation(f"{method.upper()} {path}", operation)
    return "\n".join(parts)


def _refusal(described: Schema) -> list[str]:
    problem = described["components"]["schemas"]["Problem"]
    words = "Every answer but 200 is `application/problem+json` (RFC 9457):"
    return [words, "", *_fields(problem)]


def _operation(title: str, operation: Schema) -> list[str]:
    parts = [f"## `{title}`", "", operation["summary"], "", operation["description"], ""]
    if operation.get("parameters"):
        rows = [[f"`{one['name']}`", one["in"], *_said(one)] for one in operation["parameters"]]
        parts += _table(["parameter", "in", "value", "meaning"], rows)
    for kind, content in operation.get("requestBody", {}).get("content", {}).items():
        parts += [f"**Body** `{kind}`", "", *_shape(content["schema"])]
    responses = dict(operation["responses"])
    for kind, content in responses.pop("200")["content"].items():
        parts += [f"**Answer** `{kind}`", "", *_shape(content["schema"])]
    rows = [[status, answer["description"]] for status, answer in responses.items()]
    return [*parts, *_table(["status", "when"], rows)]


def _said(parameter: Schema) -> list[str]:
    """The value and the meaning of a parameter."""
    return [_kind(parameter["schema"]), parameter.get("description", "")]


def _shape(schema: Schema) -> list[str]:
    """A document in words: a table of its fields, one table for each alternative."""
    choices = schema.get("oneOf", [schema])
    parts: list[str] = []
    for number, choice in enumerate(choices):
        parts += ["or", ""] if number else []
        parts += _fields(choice)
    return parts


def _fields(schema: Schema) -> list[str]:
    rows = [[f"`{name}`", kind, meaning] for name, kind, meaning in _rows(schema, "")]
    if not rows:
        return [f"{schema.get('description', '')} ({_kind(schema)})".strip(), ""]
    return _table(["field", "value", "meaning"], rows)


def _rows(schema: Schema, prefix: str) -> Iterator[tuple[str, str, str]]:
    """Each field with its path, its kind and its meaning, those inside of others below them."""
    required = set(schema.get("required", ()))
    for name, field in schema.get("properties", {}).items():
        path = f"{prefix}{name}"
        optional = "" if name in required else "optional"
        said = "; ".join(part for part in (optional, field.get("description", "")) if part)
        yield path, _kind(field), said
        yield from _rows(field, f"{path}.")
        yield from _rows(field.get("items", {}), f"{path}[].")


def _kind(schema: Schema) -> str:
    """What a value may be, in words."""
    if "oneOf" in schema:
        return ", or ".join(_kind(choice) for choice in schema["oneOf"])
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if "const" in schema:
        return f"`{schema['const']}`"
    kinds = schema.get("type", "any")
    kinds = kinds if isinstance(kinds, list) else [kinds]
    return " or ".join(_named(kind, schema) for kind in kinds) + _limits(schema)


def _named(kind: str, schema: Schema) -> str:
    if kind == "array":
        return f"list of ({_kind(schema.get('items', {}))})"
    if kind == "object" and isinstance(schema.get("additionalProperties"), dict):
        return f"object of ({_kind(schema['additionalProperties'])})"
    if kind == "string":
        formats = {"date-time": "time (ISO 8601)", "binary": "bytes"}
        return formats.get(schema.get("format", ""), "text")
    return {"boolean": "truth", "number": "number", "integer": "whole number"}.get(kind, kind)


def _limits(schema: Schema) -> str:
    if schema.get("minimum") == -(2**63):
        schema = {**schema, "minimum": "-2⁶³", "maximum": "2⁶³ - 1"}
    words = {"minimum": "≥ {}", "maximum": "≤ {}", "maxLength": "at most {} characters"}
    words |= {"minItems": "at least {}", "maxItems": "at most {}", "pattern": "`{}`"}
    found = [text.format(schema[name]) for name, text in words.items() if name in schema]
    return f" ({', '.join(found)})" if found else ""


def _table(head: list[str], rows: list[list[str]]) -> list[str]:
    lines = [head, ["---"] * len(head), *rows]
    cells = [" | ".join(cell.replace("|", "\\|") for cell in line) for line in lines]
    return [*(f"| {line} |" for line in cells), ""]


def text() -> str:
    """The page as it should stand in the file."""
    return page(document())


def main() -> None:
    """Write the page."""
    TARGET.write_text(text(), encoding="utf-8")


if __name__ == "__main__":
    main()
