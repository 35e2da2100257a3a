"""Rollouts: shadow, canary and probation of a version"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from storage.tables import BigId, Json, UtcDateTime

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "rollouts",
        sa.Column("id", BigId, autoincrement=True, nullable=False),
        sa.Column("problem", sa.String(length=64), nullable=False),
        sa.Column(
            "stage", sa.String(length=64), nullable=False, comment="shadow, canary, probation"
        ),
        sa.Column("version", sa.Integer(), nullable=False, comment="the newer one"),
        sa.Column("bundle", sa.String(length=64), nullable=False),
        sa.Column(
            "against",
            sa.Integer(),
            nullable=False,
            comment="the version that it is compared with",
        ),
        sa.Column("against_bundle", sa.String(length=64), nullable=False),
        sa.Column(
            "state", sa.String(length=64), nullable=False, comment="running, passed, failed, ended"
        ),
        sa.Column(
            "generation",
            sa.BigInteger(),
            nullable=False,
            comment="of the release that began it",
        ),
        sa.Column(
            "share", sa.Float(), nullable=False, comment="of requests that the version answers"
        ),
        sa.Column(
            "first_id",
            sa.BigInteger(),
            nullable=False,
            comment="predictions with a larger id count",
        ),
        sa.Column(
            "reason", sa.Text(), nullable=False, comment="why it began, then what was seen last"
        ),
        sa.Column("evidence", Json, nullable=False),
        sa.Column("clock", UtcDateTime(), nullable=False),
        sa.Column("began_at", UtcDateTime(), nullable=False),
        sa.Column("ended_clock", UtcDateTime(), nullable=True),
        sa.Column("ended_at", UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rollouts")),
        sa.UniqueConstraint(
            "problem", "generation", "stage", name=op.f("uq_rollouts_problem_generation_stage")
        ),
    )
    op.create_index(op.f("ix_rollouts_problem_state"), "rollouts", ["problem", "state"])


def downgrade() -> None:
    op.drop_table("rollouts")
