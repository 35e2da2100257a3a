"""Set keys in a problem file and leave everything else in it as it stands."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from learning.problem import Problem
from storage.bundles import write_atomically
from storage.problem_text import COMMENT_COLUMN, inline
from storage.problems import ProblemError, read_problem

_VALUE = re.compile(r"""^(?:"[^"]*"|'[^']*'|[^#"'\[{]+?)(?=\s+#|\s*$)""")


def set_keys(path: Path, section: str, values: Mapping[str, Any]) -> Problem:
    """Set keys of a section in a problem file, keeping its comments, and return the new problem.

    Raises ProblemError, and changes nothing, when the section is not written one key a line or the
    file would be wrong afterwards.
    """
    text = edited(path.read_text(encoding="utf-8-sig"), section, values, path.name)
    draft = path.with_name(f".draft-{path.name}")
    draft.mkdir()
    try:
        trial = draft / path.name
        trial.write_text(text, encoding="utf-8")
        problem = read_problem(trial)
        trial.unlink()
    finally:
        for left in draft.iterdir():
            left.unlink()
        draft.rmdir()
    write_atomically(path, text.encode())
    return problem


def edited(text: str, section: str, values: Mapping[str, Any], name: str = "the file") -> str:
    """The text of a problem file with these keys of a section set; the rest as it was."""
    lines = text.splitlines()
    head = next((n for n, line in enumerate(lines) if re.match(rf"{section}\s*:", line)), None)
    if head is None:
        spelled = [f"  {key}: {inline(value)}" for key, value in values.items()]
        return "\n".join([*lines, "", f"{section}:", *spelled]) + "\n"
    if not re.match(rf"{section}\s*:\s*(#.*)?$", lines[head]):
        raise ProblemError(
            f"{name}: line {head + 1}: {section} is written on one line; write one key a line"
        )
    end = next((n for n in range(head + 1, len(lines)) if re.match(r"[^\s#]", lines[n])), None)
    body = lines[head + 1 : end]
    for key, value in values.items():
        _set(body, key, inline(value), f"{name}: line {head + 1}: {section}.{key}")
    return "\n".join([*lines[: head + 1], *body, *(lines[end:] if end is not None else [])]) + "\n"


def _set(body: list[str], key: str, value: str, where: str) -> None:
    for place, line in enumerate(body):
        if match := re.match(rf"(\s+{key}\s*:)\s*(.*)$", line):
            found = _VALUE.match(match[2])
            if match[2] and found is None:
                raise ProblemError(f"{where}: its value spans several lines; write it on one")
            comment = match[2][found.end() :].strip() if found else ""
            text = f"{match[1]} {value}"
            body[place] = f"{text:<{COMMENT_COLUMN}}  {comment}" if comment else text
            return
    known = [n for n, line in enumerate(body) if re.match(r"\s+[^\s#]", line)]
    indent = re.match(r"\s*", body[known[0]])[0] if known else "  "  # type: ignore[index]
    body.insert(known[-1] + 1 if known else 0, f"{indent}{key}: {value}")
