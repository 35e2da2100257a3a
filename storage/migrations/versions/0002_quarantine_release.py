"""Rows of the quarantine that wait, and those that were released"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from storage.tables import UtcDateTime

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

COLUMNS = (
    sa.Column("event_time", UtcDateTime(), nullable=True),
    sa.Column("event_time_column", sa.Text(), nullable=True, comment="where event_time was read"),
    sa.Column(
        "release_id",
        sa.String(length=96),
        nullable=True,
        comment="the batch that takes it into the observations",
    ),
    sa.Column(
        "is_as_is",
        sa.Boolean(),
        nullable=True,
        comment="released past the rules that may be overruled",
    ),
    sa.Column("released_by", sa.String(length=128), nullable=True),
    sa.Column("release_reason", sa.Text(), nullable=True),
    sa.Column("released_at", UtcDateTime(), nullable=True),
)


def upgrade() -> None:
    waiting = sa.Column(
        "state",
        sa.String(length=64),
        nullable=False,
        server_default="waiting",
        comment="waiting, releasing, released, repeated",
    )
    with op.batch_alter_table("quarantine") as table:
        table.add_column(waiting)
        for column in COLUMNS:
            table.add_column(column)
    with op.batch_alter_table("quarantine") as table:
        table.alter_column("state", server_default=None)
    op.create_index(
        op.f("ix_quarantine_problem_state_release_id"), "quarantine", ["problem", "state", "release_id"]
    )


def downgrade() -> None:
    op.drop_index(op.f("ix_quarantine_problem_state_release_id"), "quarantine")
    with op.batch_alter_table("quarantine") as table:
        for name in ("state", *(column.name for column in COLUMNS)):
            table.drop_column(name)
