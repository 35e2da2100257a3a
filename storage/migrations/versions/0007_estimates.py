"""Performance estimated without labels, and what the labels said of it later"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from storage.tables import BigId, UtcDateTime

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "performance_estimates",
        sa.Column("id", BigId, autoincrement=True, nullable=False),
        sa.Column("run_id", sa.String(length=36), nullable=False),
        sa.Column("problem", sa.String(length=64), nullable=False),
        sa.Column("model_version", sa.String(length=64), nullable=False),
        sa.Column("metric", sa.String(length=64), nullable=False),
        sa.Column("value", sa.Float(), nullable=True),
        sa.Column("low", sa.Float(), nullable=True),
        sa.Column("high", sa.Float(), nullable=True),
        sa.Column("n_rows", sa.Integer(), nullable=False),
        sa.Column("floor", sa.Float(), nullable=True),
        sa.Column("is_below_floor", sa.Boolean(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column(
            "oldest_id",
            sa.BigInteger(),
            nullable=False,
            comment="of the predictions it is about",
        ),
        sa.Column("newest_id", sa.BigInteger(), nullable=False),
        sa.Column(
            "realised",
            sa.Float(),
            nullable=True,
            comment="the same metric by the labels of these predictions",
        ),
        sa.Column(
            "realised_rows",
            sa.Integer(),
            nullable=True,
            comment="how many of them had their label by then",
        ),
        sa.Column("error", sa.Float(), nullable=True, comment="realised less estimated"),
        sa.Column(
            "is_covered",
            sa.Boolean(),
            nullable=True,
            comment="whether the interval held what was realised",
        ),
        sa.Column("clock", UtcDateTime(), nullable=False),
        sa.Column("estimated_at", UtcDateTime(), nullable=False),
        sa.Column("settled_at", UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_performance_estimates")),
        sa.UniqueConstraint("run_id", name=op.f("uq_performance_estimates_run_id")),
    )
    op.create_index(
        op.f("ix_performance_estimates_problem_model_version"),
        "performance_estimates",
        ["problem", "model_version"],
    )


def downgrade() -> None:
    op.drop_table("performance_estimates")
