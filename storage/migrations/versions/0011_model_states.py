"""A version may wait for more rows to be judged on."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

BEFORE = "candidate, challenger, champion, archived, refused"
AFTER = "candidate, waiting, challenger, champion, archived, refused"


def upgrade() -> None:
    """Name the state; SQLite keeps no comments."""
    _comment(AFTER, BEFORE)


def downgrade() -> None:
    """Forget its name."""
    _comment(BEFORE, AFTER)


def _comment(text: str, before: str) -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.alter_column(
            "models",
            "state",
            comment=text,
            existing_comment=before,
            existing_type=sa.String(64),
            existing_nullable=False,
        )
