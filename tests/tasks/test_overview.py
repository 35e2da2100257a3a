"""Why the newest version is not the one that serves."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from tasks.overview import last_challenger
from tests.factories import START


def release(generation: int, version: int, state: str, actor: str, reason: str) -> Any:
    return SimpleNamespace(
        generation=generation,
        version=version,
        state=state,
        actor=actor,
        reason=reason,
        started_at=START,
    )


def version(number: int, state: str, reason: str | None) -> Any:
    return SimpleNamespace(version=number, state=state, reason=reason)


JUDGED = SimpleNamespace(
    evidence={"version": 3, "checks": [{"name": "gain", "outcome": "pass", "text": "+0.1 | more"}]}
)


def test_a_version_that_serves_needs_no_reason() -> None:
    assert last_challenger([version(3, "champion", "better")], version(3, "", ""), [], []) == []


def test_a_refused_one_is_told_with_its_verdict() -> None:
    refused = [version(3, "refused", "worse than champion 2")]
    past = [release(2, 2, "promoted", "loop", "better")]
    said = "\n".join(last_challenger(refused, version(2, "", ""), [JUDGED], past))
    assert said.startswith("## Why version 3 is not served: refused\n\nworse than champion 2\n")
    assert "| gain | pass | +0.1 \\| more |" in said


def test_one_that_was_rolled_back_is_told_by_who_did_it_and_why() -> None:
    past = [
        release(5, 2, "refused", "loop", "not this one"),
        release(4, 2, "rolled_back_to", "person", "it answers nonsense"),
        release(3, 3, "promoted", "loop", "better than champion 2"),
        release(2, 2, "promoted", "loop", "better"),
    ]
    archived = [version(3, "archived", "better than champion 2")]
    said = "\n".join(last_challenger(archived, version(2, "", ""), [JUDGED], past))
    assert said.startswith("## Why version 3 is not served any more\n")
    assert "rolled back to version 2, decided by person: it answers nonsense" in said
    assert "Before, its verdict was:" in said
