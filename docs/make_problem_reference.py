"""Writes docs/problem-file.md, the reference of every key of a problem file."""

from __future__ import annotations

import sys
import types
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from pydantic.fields import FieldInfo  # noqa: E402
from pydantic_core import PydanticUndefined  # noqa: E402

from learning import problem as types_of  # noqa: E402
from learning.sources import KINDS, OutsideSource  # noqa: E402
from learning.spans import Span  # noqa: E402
from storage.problem_text import inline  # noqa: E402

TARGET = ROOT / "docs" / "problem-file.md"
INTRODUCTION = """\
# The problem file

`problems/NAME.yaml` describes one prediction problem. Only `target` has no default;
`perennial init` writes a file with every key spelled out. A key that is not listed here is an
error that names the nearest known one. `true` and `false` are truths; `yes`, `no`, `on` and `off`
are plain text, so that classes may be called so.

A length is a number of rows (`500`) or a time (`30s`, `5m`, `12h`, `7d`, `2w`).

This page is made from the types by `python docs/make_problem_reference.py`.
"""


def reference() -> str:
    """The page as Markdown."""
    parts = [INTRODUCTION, _table("Top level", types_of.Problem)]
    sections = {
        "features[]": types_of.Feature,
        **{f"sources[] of kind {kind}": source for kind, source in KINDS.items()},
        "quarantine": types_of.QuarantineRules,
        "windows": types_of.Windows,
        "drift": types_of.DriftRules,
        "performance": types_of.PerformanceRules,
        "slices[]": types_of.Slice,
        "retrain": types_of.RetrainPolicy,
        "search": types_of.SearchRules,
        "gate": types_of.GateRules,
        "trust": types_of.TrustRules,
        "rollout": types_of.RolloutRules,
        "costs": types_of.Costs,
        "risk_levels[]": types_of.RiskLevel,
        "alerts": types_of.AlertRules,
        "generator": types_of.Generator,
        "generator.drift": types_of.GeneratorDrift,
    }
    parts += [_table(f"`{name}`", section) for name, section in sections.items()]
    return "\n".join(parts)


def _table(title: str, section: type[types_of.Section]) -> str:
    lines = [f"## {title}", "", section.__doc__ or "", ""]
    lines += ["| key | value | default | meaning |", "|---|---|---|---|"]
    for name, field in section.model_fields.items():
        cells = (
            f"`{name}`",
            _kind(field),
            _default(field),
            (field.description or "") + _limits(field),
        )
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join([*lines, ""])


def _kind(field: FieldInfo) -> str:
    return _name_of(field.annotation)


def _name_of(kind: Any) -> str:
    """A type in words."""
    words = {
        str: "text",
        int: "whole number",
        float: "number",
        bool: "true or false",
        Span: "length",
    }
    if kind in words:
        return words[kind]
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Literal:
        return ", ".join(f"`{value}`" for value in arguments)
    if origin in (Union, types.UnionType):
        names = [_name_of(one) for one in arguments if one is not type(None)]
        return " or ".join(names + ["`null`"] * (type(None) in arguments))
    if origin is tuple:
        return f"list of {_name_of(arguments[0])}"
    if origin is dict:
        return "metric: number"
    if isinstance(kind, type) and issubclass(kind, OutsideSource):
        return f"kind `{_name_of(kind.model_fields['kind'].annotation).strip('`')}`"
    if hasattr(kind, "__metadata__"):
        return _name_of(arguments[0])
    return "section"


def _default(field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=True)
    if value is PydanticUndefined:
        return "(needed)"
    if _kind(field) == "section" or isinstance(value, types_of.Section):
        return "see below"
    return f"`{inline(value)}`"


def _limits(field: FieldInfo) -> str:
    """The bounds of a number, in words."""
    signs = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}
    bounds = [
        f"{sign} {getattr(rule, name):g}"
        for rule in field.metadata
        for name, sign in signs.items()
        if hasattr(rule, name)
    ]
    return f" ({', '.join(bounds)})" if bounds else ""


if __name__ == "__main__":
    TARGET.write_text(reference(), encoding="utf-8")
