"""Problem files: found in folders, read with errors that say where, written with comments."""

from __future__ import annotations

import difflib
import os
import re
import tempfile
from collections.abc import Iterable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

import problems
from learning.problem import Problem
from learning.turns import USUAL
from settings import Settings
from storage.problem_text import problem_text

SUFFIX = ".yaml"
SHIPPED = Path(problems.__file__).resolve().parent


class ProblemError(Exception):
    """A problem file is missing or wrong; the message says where and what was expected."""


_BOOL, _INT, _FLOAT, _DATE = (
    f"tag:yaml.org,2002:{kind}" for kind in ("bool", "int", "float", "timestamp")
)


class _Loader(yaml.SafeLoader):
    """Safe YAML that takes less for something else than text, so that a class may be called no.

    As in YAML 1.2, only true and false are truths; 010, 12:30 and 2024-01-31 stay text.
    """

    yaml_implicit_resolvers = {  # noqa: RUF012  (PyYAML's own way to configure a loader)
        first: [(tag, rule) for tag, rule in rules if tag not in (_BOOL, _INT, _FLOAT, _DATE)]
        for first, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


_NUMERALS = list("-+.0123456789")
_Loader.add_implicit_resolver(_BOOL, re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), "tTfF")
_Loader.add_implicit_resolver(_INT, re.compile(r"^[-+]?(?:0|[1-9][0-9_]*)$"), _NUMERALS)
_Loader.add_implicit_resolver(
    _FLOAT,
    re.compile(r"^[-+]?(?:(?:0|[1-9][0-9_]*)?\.[0-9]+|[0-9]+\.)(?:[eE][-+]?[0-9]+)?$"),
    _NUMERALS,
)


def problem_folders(settings: Settings) -> tuple[Path, ...]:
    """Folders that are searched for problem files: the user's first, then the shipped ones."""
    return (SHIPPED,) if settings.problems is None else (settings.problems, SHIPPED)


def list_problems(folders: Sequence[Path]) -> tuple[str, ...]:
    """Names of all problem files in some folders, sorted; a missing folder holds none."""
    return tuple(
        sorted({path.stem for folder in folders for path in folder.glob(f"[!.]*{SUFFIX}")})
    )


def load_problem(name: str, folders: Sequence[Path]) -> Problem:
    """The problem of this name from the first folder that has it. Raises `ProblemError`."""
    known = list_problems(folders)
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise ProblemError(
            f"found no problem {name!r}; {hint}known problems: {', '.join(known) or 'none'}; "
            f"searched {', '.join(str(folder) for folder in folders)}"
        )
    paths = (folder / f"{name}{SUFFIX}" for folder in folders)
    return read_problem(next(path for path in paths if path.is_file()))


def read_problem(path: Path) -> Problem:
    """The problem in one file; its name is the file's. Raises `ProblemError`."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ProblemError(f"{path.name}: cannot be read: {error}") from error
    data = _parse(text, path.name)
    if not isinstance(data, dict):
        raise ProblemError(f"{path.name}: found no keys; expected at least 'target: COLUMN'")
    try:
        problem = Problem.model_validate({"name": path.stem, **data})
    except ValidationError as error:
        raise ProblemError("\n".join(_sentences(error, path.name))) from error
    if problem.name != path.stem:
        raise ProblemError(
            f"{path.name}: name: found {problem.name!r}; expected {path.stem!r} like the file; "
            "rename one of them"
        )
    return problem


def every_of(name: str, folders: Sequence[Path]) -> timedelta:
    """How often the loop takes a problem up; as usual where its file cannot be read."""
    try:
        return load_problem(name, folders).every.time or USUAL
    except ProblemError:
        return USUAL


def write_problem(problem: Problem, folder: Path) -> Path:
    """Write ``NAME.yaml`` with every default spelled out; replaces an older file at once."""
    if not problem.name:
        raise ProblemError("found a problem without a name; expected one to name its file after")
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{problem.name}{SUFFIX}"
    handle, draft = tempfile.mkstemp(dir=folder, prefix=f".{problem.name}-")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(problem_text(problem))
            file.flush()
            os.fsync(file.fileno())
        Path(draft).chmod(0o644)
        Path(draft).replace(path)
    finally:
        Path(draft).unlink(missing_ok=True)
    return path


def _parse(text: str, name: str) -> Any:
    """What a YAML text says; refuses syntax errors and keys that stand twice, by line."""
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is None:
            return None
        _refuse_repeated_keys(node, name)
        return loader.construct_document(node)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        what = error.problem or error.context
        raise ProblemError(f"{name}: {where}not valid YAML: {what}") from error
    except (yaml.YAMLError, ValueError, AttributeError, IndexError, RecursionError) as error:
        # PyYAML lets these through for values that their explicit tag does not fit.
        raise ProblemError(f"{name}: not valid YAML: {error}") from error


def _refuse_repeated_keys(node: yaml.Node, name: str) -> None:
    """Raise `ProblemError` at the first key that stands twice in one mapping."""
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            _refuse_repeated_keys(item, name)
    if not isinstance(node, yaml.MappingNode):
        return
    lines: dict[str, int] = {}
    for key, value in node.value:
        line = key.start_mark.line + 1
        if str(key.value) in lines:
            raise ProblemError(
                f"{name}: line {line}: the key {key.value!r} stands twice (also on line "
                f"{lines[key.value]}); keep one"
            )
        lines[str(key.value)] = line
        _refuse_repeated_keys(value, name)


def _sentences(error: ValidationError, name: str) -> Iterable[str]:
    """One sentence per thing that is wrong: file, key, what was found and expected."""
    for detail in error.errors():
        place = ".".join(str(part) for part in detail["loc"])
        where = f"{name}: {place}: " if place else f"{name}: "
        if detail["type"] == "missing":
            yield f"{where}missing; expected a value, such as '{detail['loc'][-1]}: VALUE'"
        elif detail["type"] == "value_error":
            yield f"{where}{detail['msg'].removeprefix('Value error, ')}"
        else:
            message = detail["msg"][:1].lower() + detail["msg"][1:]
            yield f"{where}found {_short(detail['input'])}; {message}"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
