"""The problem file as the ledger knows it: a change of policy is an act like any other."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from sqlalchemy import Connection

from learning.problem import Problem
from storage.database import dump_json
from storage.ledger import Entry, append, newest_of

CHANGED = "policy changed"
ACTOR = "problem file"
N_NAMED = 8


def policy_of(problem: Problem) -> tuple[str, dict[str, Any]]:
    """SHA-256 of a problem file with every default spelled out, and that content."""
    content: dict[str, Any] = json.loads(dump_json(problem.model_dump(mode="json")))
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest(), content


def note_policy(connection: Connection, problem: Problem) -> None:
    """Enter the problem file into the ledger when it is not what was entered last."""
    digest, content = policy_of(problem)
    last = newest_of(connection, problem.name, CHANGED)
    if last is not None and last.subject == digest:
        return
    before = None if last is None else json.loads(last.evidence)["problem"]
    changed = [] if before is None else sorted(_changes(before, content))
    more = f" and {len(changed) - N_NAMED} more" if len(changed) > N_NAMED else ""
    named = ", ".join(changed[:N_NAMED]) + more
    reason = "first seen" if before is None else f"changed: {named}"
    evidence = {"problem": content, "changed": changed}
    append(connection, Entry(problem.name, CHANGED, digest, ACTOR, reason, evidence))


def _changes(before: Any, after: Any, path: str = "") -> list[str]:
    """Dotted names of the keys whose values differ."""
    if not (isinstance(before, dict) and isinstance(after, dict)):
        return [] if before == after else [path or "all"]
    found: list[str] = []
    for key in before.keys() | after.keys():
        name = f"{path}.{key}" if path else str(key)
        found += _changes(before.get(key), after.get(key), name)
    return found
