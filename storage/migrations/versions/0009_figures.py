"""Numbers behind pictures: of evaluations and of drift checks; the newest runs and batches"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from storage.tables import Json

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("models") as batch_op:
        batch_op.add_column(
            sa.Column(
                "figures", Json, nullable=True, comment="numbers behind the pictures of its evaluation"
            )
        )
    with op.batch_alter_table("drift_results") as batch_op:
        batch_op.add_column(
            sa.Column(
                "shapes", Json, nullable=True, comment="of the current window: counts by feature"
            )
        )
    op.create_index("ix_runs_problem_started_at", "runs", ["problem", "started_at"])
    op.create_index("ix_batches_problem_ingested_at", "batches", ["problem", "ingested_at"])


def downgrade() -> None:
    op.drop_index("ix_batches_problem_ingested_at", "batches")
    op.drop_index("ix_runs_problem_started_at", "runs")
    with op.batch_alter_table("drift_results") as batch_op:
        batch_op.drop_column("shapes")
    with op.batch_alter_table("models") as batch_op:
        batch_op.drop_column("figures")
