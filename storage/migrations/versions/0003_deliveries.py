"""Alerts tell incidents, and each channel has its own place in the outbox"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from storage.tables import UtcDateTime

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "deliveries",
        sa.Column(
            "alert_id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=False,
            nullable=False,
        ),
        sa.Column(
            "channel", sa.String(length=64), nullable=False, comment="discord, email, webhook"
        ),
        sa.Column(
            "state", sa.String(length=64), nullable=False, comment="waiting, sent, off, dropped"
        ),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.Column("not_before", UtcDateTime(), nullable=False),
        sa.Column("sent_at", UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("alert_id", "channel", name=op.f("pk_deliveries")),
    )
    op.create_index(
        op.f("ix_deliveries_channel_state_not_before"),
        "deliveries",
        ["channel", "state", "not_before"],
    )
    # What waited for Discord goes on waiting for it.
    op.execute(
        "INSERT INTO deliveries (alert_id, channel, state, attempts, last_error, not_before, "
        "sent_at) SELECT id, 'discord', state, attempts, last_error, not_before, sent_at "
        "FROM alerts WHERE state <> 'logged'"
    )
    with op.batch_alter_table("alerts") as batch:
        batch.add_column(
            sa.Column(
                "phase",
                sa.String(length=64),
                nullable=False,
                server_default="event",
                comment="event, opened, worse, still_open, closed",
            )
        )
        batch.add_column(
            sa.Column(
                "level",
                sa.Float(),
                nullable=False,
                server_default="0",
                comment="how bad, to know worse by",
            )
        )
        batch.drop_index(op.f("ix_alerts_state_not_before"))
        batch.drop_index(op.f("ix_alerts_problem_kind_incident"))
        for name in ("attempts", "last_error", "not_before", "sent_at"):
            batch.drop_column(name)
        batch.create_index(op.f("ix_alerts_state"), ["state"])
        batch.create_index(op.f("ix_alerts_problem_incident_kind"), ["problem", "incident", "kind"])
    with op.batch_alter_table("alerts") as batch:
        batch.alter_column("phase", server_default=None)
        batch.alter_column("level", server_default=None)


def downgrade() -> None:
    raise NotImplementedError("restore a backup instead")
