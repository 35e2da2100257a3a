"""A drift result keeps what the check saw beside single features"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy import Text
from sqlalchemy.dialects import postgresql

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "drift_results",
        sa.Column(
            "watched",
            sa.JSON().with_variant(postgresql.JSONB(astext_type=Text()), "postgresql"),
            nullable=True,
            comment="groups, predictions, labels, errors, all features at once",
        ),
    )


def downgrade() -> None:
    with op.batch_alter_table("drift_results") as table:
        table.drop_column("watched")
