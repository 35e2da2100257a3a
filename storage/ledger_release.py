"""Releases as the ledger tells them: with the evidence that they were decided on."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection

from storage import reports
from storage.database import dump_json
from storage.ledger import Entry, append

# Figures of a verdict that are told with it; the hash covers all of them.
_TOLD = ("metric", "gain", "gain_low", "gain_high", "n_rows")


def enter_release(connection: Connection, release: Mapping[str, Any]) -> None:
    """Write down that a release ended in its state, in the transaction that ends it."""
    problem, version = release["problem"], int(release["version"])
    evidence = {
        "bundle": release["bundle"],
        "started_at": release["started_at"].isoformat(),
        "clock": release["clock"].isoformat(),
        **_verdict(connection, problem, version),
    }
    append(
        connection,
        Entry(
            problem=problem,
            act=release["state"],
            subject=str(version),
            actor=release["actor"],
            reason=release["reason"],
            evidence=evidence,
            generation=int(release["generation"]),
        ),
    )


def _verdict(connection: Connection, problem: str, version: int) -> dict[str, Any]:
    """The gate's last decision on a version: its id, what it said, and the hash of its evidence."""
    gate = next(iter(reports.gate_decisions(connection, problem, version)), None)
    if gate is None:
        return {}
    text = dump_json(dict(sorted(gate.evidence.items())))
    figures = {name: gate.evidence[name] for name in _TOLD if name in gate.evidence}
    return {
        "gate_decision": gate.id,
        "gate_passed": gate.go,
        "gate_reason": gate.reason,
        "gate_evidence_sha256": hashlib.sha256(text.encode()).hexdigest(),
        **figures,
    }
