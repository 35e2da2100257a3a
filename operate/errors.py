"""Which errors a user can mend: told in one line, without a traceback."""

from __future__ import annotations

import sys
from typing import Any

# Modules are looked up rather than imported: an error whose module was never imported cannot have
# been raised, and naming it must not load pandas into a command that does without.
_INPUT = (
    ("storage.tabular", "TableError"),
    ("storage.problems", "ProblemError"),
    ("learning.inference", "InferenceError"),
    ("learning.models", "TrainingError"),
    ("learning.validation_schema", "BatchRefusedError"),
    ("operate.quarantine", "QuarantineError"),
    ("operate.predict", "PredictError"),
    ("tasks.lineage", "LineageError"),
    ("storage.tokens", "TokenError"),
    ("storage.database", "StorageError"),
    ("operate.processes", "StackError"),
    ("operate.begin", "BeginError"),
    ("api.serve", "ServeError"),
    ("operate.demo_data", "DemoError"),
    ("learning.replay", "ReplayError"),
    ("pydantic", "ValidationError"),
)
_REFUSALS = (
    ("tasks.rollback", "RollbackError"),
    ("tasks.run", "BusyError"),
    ("storage.bundles", "BundleError"),
    ("api.explain_parts", "ExplanationError"),
    ("operate.demo_ticks", "TickError"),
    ("sqlalchemy.exc", "DBAPIError"),
    ("builtins", "OSError"),
)


def input_errors() -> tuple[type[Exception], ...]:
    """Errors of what the user gave: exit 2."""
    return _loaded(_INPUT)


def refusals() -> tuple[type[Exception], ...]:
    """Errors of what could not be done: exit 1."""
    return _loaded(_REFUSALS)


def one_line(error: Exception) -> str:
    """What is told of an error: what was found and expected, without what only developers read."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    if cause := getattr(error, "orig", None):  # SQLAlchemy's own text holds the statement
        return f"the database does not answer as expected: {_first_line(cause)}"
    if isinstance(error, _loaded((("pydantic", "ValidationError"),))):
        return "; ".join(_setting(detail) for detail in error.errors())  # type: ignore[attr-defined]
    return " ".join(str(error).split("\n"))


def _setting(detail: dict[str, Any]) -> str:
    name = ".".join(str(part) for part in detail["loc"])
    variable = name if name.isupper() else f"PERENNIAL_{name.upper()}"
    return f"{variable}: found {str(detail['input'])[:60]!r}; {detail['msg'].lower()}"


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


class _NeverRaisedError(Exception):
    """Stands in for errors whose module is not loaded."""


def _loaded(names: tuple[tuple[str, str], ...]) -> tuple[type[Exception], ...]:
    found = [
        getattr(sys.modules[module], name)
        for module, name in names
        if module in sys.modules and hasattr(sys.modules[module], name)
    ]
    return (_NeverRaisedError, *found)
