"""Sources: how far each was read, which fail, labels that wait for their rows"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from storage.tables import UtcDateTime

revision = '0005'
down_revision = '0004'
branch_labels = None
depends_on = None


def upgrade() -> None:
    json = sa.JSON().with_variant(postgresql.JSONB(astext_type=sa.Text()), 'postgresql')
    op.create_table('source_positions',
    sa.Column('problem', sa.String(length=64), nullable=False),
    sa.Column('source', sa.String(length=64), nullable=False),
    sa.Column('part', sa.String(length=64), nullable=False, comment="digest of a file's path, or empty"),
    sa.Column('position', json, nullable=False),
    sa.Column('moved_at', UtcDateTime(), nullable=False),
    sa.PrimaryKeyConstraint('problem', 'source', 'part', name=op.f('pk_source_positions'))
    )
    op.create_table('source_failures',
    sa.Column('problem', sa.String(length=64), nullable=False),
    sa.Column('source', sa.String(length=64), nullable=False),
    sa.Column('reason', sa.Text(), nullable=False),
    sa.Column('since', UtcDateTime(), nullable=False),
    sa.PrimaryKeyConstraint('problem', 'source', name=op.f('pk_source_failures'))
    )
    op.create_table('waiting_labels',
    sa.Column('problem', sa.String(length=64), nullable=False),
    sa.Column('key', sa.Text(), nullable=False),
    sa.Column('label', json, nullable=False),
    sa.Column('source', sa.String(length=512), nullable=False),
    sa.Column('received_at', UtcDateTime(), nullable=False),
    sa.Column('claimed_by', sa.String(length=96), nullable=True, comment='the batch that brings it to its row'),
    sa.PrimaryKeyConstraint('problem', 'key', name=op.f('pk_waiting_labels'))
    )
    op.create_index(op.f('ix_waiting_labels_problem_claimed_by'), 'waiting_labels', ['problem', 'claimed_by'])
