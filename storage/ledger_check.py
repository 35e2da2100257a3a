"""Whether the ledger is unbroken, and whether the tables still say what it says."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, select

from storage.ledger import GENESIS, row_hash
from storage.tables import ledger, releases, tokens

CLOSED = ("promoted", "rolled_back_to", "refused", "shadow", "canary", "withdrawn")
CREATED, REVOKED = "token created", "token revoked"


@dataclass(frozen=True)
class Checked:
    """What was found: rows, the newest hash, the first broken row, and tables that differ.

    ``broken_seq`` is the first row that is not as it was written, ``broken_why`` what is wrong.
    """

    n_rows: int
    head: str
    broken_seq: int | None
    broken_why: str | None
    differences: tuple[str, ...]

    @property
    def is_whole(self) -> bool:
        """Whether nothing was found wrong."""
        return self.broken_seq is None and not self.differences


def check(connection: Connection, head: str | None = None) -> Checked:
    """Prove the chain from its first row to its newest, then hold the tables against it.

    Rows cut off at the end leave a chain that is whole: a ``head`` that was noted earlier must
    still be in it.
    """
    rows = connection.execute(select(ledger).order_by(ledger.c.seq)).all()
    broken_seq, broken_why = _first_break(rows)
    differences = [*_releases(connection, rows), *_tokens(connection, rows)]
    if head is not None and head not in {GENESIS, *(row.hash for row in rows)}:
        differences.append(f"no row has the hash {head[:12]}, which was the newest once")
    newest = rows[-1].hash if rows else GENESIS
    return Checked(len(rows), newest, broken_seq, broken_why, tuple(differences))


def _first_break(rows: Any) -> tuple[int, str] | tuple[None, None]:
    previous = GENESIS
    for place, row in enumerate(rows, 1):
        if row.seq != place:
            return place, f"row {place} is missing; the next one is row {row.seq}"
        if row.previous_hash != previous:
            return row.seq, f"row {row.seq} is not chained to the row before it"
        if row_hash(row._mapping) != row.hash:
            return row.seq, f"row {row.seq} ({row.act} {row.subject}) was changed"
        previous = row.hash
    return None, None


def _releases(connection: Connection, rows: Any) -> Iterator[str]:
    told = {(row.problem, row.generation): row for row in rows if row.act in CLOSED}
    closed = connection.execute(select(releases).where(releases.c.state.in_(CLOSED))).all()
    for release in closed:
        name = f"{release.problem}: release {release.generation}"
        row = told.pop((release.problem, release.generation), None)
        if row is None:
            yield f"{name} ({release.state}, version {release.version}) is not in the ledger"
        elif _facts(release) != (row.act, row.subject, row.actor, row.reason, _bundle(row)):
            yield f"{name} is not as row {row.seq} of the ledger tells it"
    for problem, generation in told:
        yield f"{problem}: release {generation} is in the ledger, but not in the table"


def _facts(release: Row[Any]) -> tuple[str, ...]:
    return (
        release.state,
        str(release.version),
        release.actor,
        release.reason,
        release.bundle,
    )


def _bundle(row: Row[Any]) -> Any:
    return json.loads(row.evidence).get("bundle")


def _tokens(connection: Connection, rows: Any) -> Iterator[str]:
    created = {row.subject: json.loads(row.evidence) for row in rows if row.act == CREATED}
    revoked = {row.subject for row in rows if row.act == REVOKED}
    for token in connection.execute(select(tokens)):
        known = created.get(token.token_id)
        if known is None:
            yield f"token {token.token_id} is not in the ledger"
        elif (known["secret_sha256"], known["scopes"]) != (token.secret_sha256, token.scopes):
            yield f"token {token.token_id} is not as the ledger tells it"
        elif (token.revoked_at is not None) != (token.token_id in revoked):
            yield f"token {token.token_id}: table and ledger differ on whether it was revoked"
