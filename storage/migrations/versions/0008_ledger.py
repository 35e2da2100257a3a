"""The ledger, chained by hash, and the lineage of model versions"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from storage.ledger import Entry, append
from storage.ledger_check import CLOSED, CREATED, REVOKED
from storage.ledger_release import enter_release
from storage.tables import Json, UtcDateTime, releases, tokens

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "ledger",
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.Column(
            "problem",
            sa.String(length=64),
            nullable=True,
            comment="none: the whole installation",
        ),
        sa.Column(
            "act",
            sa.String(length=64),
            nullable=False,
            comment="promoted, rolled_back_to, refused, token created, policy changed, …",
        ),
        sa.Column(
            "subject",
            sa.String(length=128),
            nullable=False,
            comment="a version, a token, a policy's hash",
        ),
        sa.Column("generation", sa.BigInteger(), nullable=True, comment="of a release"),
        sa.Column("actor", sa.String(length=128), nullable=False),
        sa.Column(
            "decided_by",
            sa.String(length=64),
            nullable=False,
            comment="loop, canary, rollback, person",
        ),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("evidence", sa.Text(), nullable=False, comment="JSON, as it was hashed"),
        sa.Column("previous_hash", sa.String(length=64), nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_ledger")),
        sa.UniqueConstraint("previous_hash", name=op.f("uq_ledger_previous_hash")),
    )
    op.create_index(op.f("ix_ledger_problem_act_seq"), "ledger", ["problem", "act", "seq"])
    op.add_column(
        "models",
        sa.Column(
            "lineage",
            Json,
            nullable=True,
            comment="rows, problem file, code, libraries and seed",
        ),
    )
    _enter_what_was_before(op.get_bind())


def _enter_what_was_before(connection: sa.Connection) -> None:
    """What was decided before there was a ledger is entered as the tables tell it now."""
    # Columns by name: later migrations may add others.
    told = ("problem", "generation", "version", "bundle", "state", "actor", "reason")
    columns = [releases.c[name] for name in (*told, "clock", "started_at")]
    before = sa.select(*columns).where(releases.c.state.in_(CLOSED))
    for row in connection.execute(before.order_by(releases.c.started_at)).all():
        enter_release(connection, row._asdict())
    kept = [tokens.c[name] for name in ("token_id", "secret_sha256", "scopes", "revoked_at")]
    for row in connection.execute(sa.select(*kept).order_by(tokens.c.created_at)).all():
        evidence = {"scopes": row.scopes, "secret_sha256": row.secret_sha256}
        why = "made before the ledger was"
        append(connection, Entry(None, CREATED, row.token_id, "unknown", why, evidence))
        if row.revoked_at is not None:
            append(connection, Entry(None, REVOKED, row.token_id, "unknown", why))


def downgrade() -> None:
    op.drop_column("models", "lineage")
    op.drop_table("ledger")
