"""A problem as YAML text: every key spelled out, each with what it means."""

from __future__ import annotations

from typing import Any

import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from learning.problem import Feature, Problem
from learning.sources import OutsideSource

COMMENT_COLUMN = 40


def problem_text(problem: Problem) -> str:
    """YAML of a problem with every default; `load_problem` reads it back to an equal problem."""
    lines = [f"# {problem.name}: one prediction problem. Every key is here; delete what you like."]
    for name, field in Problem.model_fields.items():
        value = getattr(problem, name)
        if isinstance(value, BaseModel):
            lines += ["", f"# {_about(value)}", f"{name}:", *_section(value, "  ")]
        elif name in ("features", "slices", "risk_levels") and value:
            lines += ["", f"# {_about(value[0])}", f"{name}:", *_items(value), ""]
        elif name == "sources" and problem.outside:
            lines += ["", f"# {field.description}", "sources:", *_items(value), ""]
        else:
            lines.append(_line(name, value, field, ""))
    spaced = [line for line, above in zip(lines, ["", *lines], strict=False) if line or above]
    return "\n".join(spaced).strip() + "\n"


def plain(value: Any) -> Any:
    """A value of a problem as YAML can hold it."""
    if isinstance(value, BaseModel):
        return {name: plain(getattr(value, name)) for name in type(value).model_fields}
    if isinstance(value, (tuple, list)):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return value if isinstance(value, (bool, int, float, str, type(None))) else str(value)


def inline(value: Any) -> str:
    """A value as YAML on one line."""
    dumped = yaml.safe_dump(
        plain(value),
        default_flow_style=True,
        width=float("inf"),
        allow_unicode=True,
        sort_keys=False,
    )
    return str(dumped).removesuffix("...\n").strip()


def _about(section: BaseModel) -> str:
    return (type(section).__doc__ or "").split("\n")[0]


def _section(section: BaseModel, indent: str) -> list[str]:
    lines = []
    for name, field in type(section).model_fields.items():
        value = getattr(section, name)
        if isinstance(value, BaseModel):
            lines += [f"{indent}{name}:  # {_about(value)}", *_section(value, indent + "  ")]
        else:
            lines.append(_line(name, value, field, indent))
    return lines


def _line(name: str, value: Any, field: FieldInfo, indent: str) -> str:
    text = f"{indent}{name}: {inline(value)}"
    return f"{text:<{COMMENT_COLUMN}}  # {field.description}" if field.description else text


def _items(values: tuple[BaseModel | str, ...]) -> list[str]:
    """One line per feature, risk level or source; of features and sources only what is set."""
    lines = []
    for value in values:
        pairs: Any = plain(value)
        if isinstance(value, Feature | OutsideSource):
            pairs = {key: item for key, item in pairs.items() if item is not None and item != []}
        lines.append(f"  - {inline(pairs)}")
    return lines
