"""What live performance is shown beside: its floor, all intervals, rivals and slices"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from storage.tables import Json

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

COLUMNS = (
    sa.Column("floor", sa.Float(), nullable=True),
    sa.Column("intervals", Json, nullable=True, comment="low and high by metric"),
    sa.Column("rivals", Json, nullable=True, comment="no change, frozen first model, dummy"),
    sa.Column("slices", Json, nullable=True),
)


def upgrade() -> None:
    with op.batch_alter_table("performance_metrics", schema=None) as batch_op:
        for column in COLUMNS:
            batch_op.add_column(column)


def downgrade() -> None:
    with op.batch_alter_table("performance_metrics", schema=None) as batch_op:
        for column in reversed(COLUMNS):
            batch_op.drop_column(column.name)
