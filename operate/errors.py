"""Which errors a user can mend: told in one line, without a traceback."""

from __future__ import annotations

import sys

# Modules are looked up rather than imported: an error whose module was never imported cannot have
# been raised, and naming it must not load pandas into a command that does without.
_INPUT = (
    ("storage.tabular", "TableError"),
    ("storage.problems", "ProblemError"),
    ("learning.inference", "InferenceError"),
    ("learning.models", "TrainingError"),
    ("learning.validation", "BatchRefusedError"),
    ("storage.tokens", "TokenError"),
    ("storage.database", "StorageError"),
    ("operate.processes", "StackError"),
    ("operate.begin", "BeginError"),
    ("operate.demo_data", "DemoError"),
    ("pydantic", "ValidationError"),
)
_REFUSALS = (
    ("tasks.rollback", "RollbackError"),
    ("storage.bundles", "BundleError"),
    ("operate.demo_ticks", "TickError"),
    ("sqlalchemy.exc", "OperationalError"),
)


def input_errors() -> tuple[type[Exception], ...]:
    """Errors of what the user gave: exit 2."""
    return _loaded(_INPUT)


def refusals() -> tuple[type[Exception], ...]:
    """Errors of what could not be done: exit 1."""
    return _loaded(_REFUSALS)


class _NeverRaisedError(Exception):
    """Stands in for errors whose module is not loaded."""


def _loaded(names: tuple[tuple[str, str], ...]) -> tuple[type[Exception], ...]:
    found = [
        getattr(sys.modules[module], name)
        for module, name in names
        if module in sys.modules and hasattr(sys.modules[module], name)
    ]
    return (_NeverRaisedError, *found)
