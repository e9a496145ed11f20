"""Rate limits: one row a key, the time of its next free call."""

import sqlalchemy
from alembic import op

revision = "0001"
down_revision = None
branch_labels = ("common",)
depends_on = None


def upgrade() -> None:
    op.create_table(
        "rate_limits",
        sqlalchemy.Column("key", sqlalchemy.String(250), primary_key=True),
        sqlalchemy.Column("next_at", sqlalchemy.Float(precision=53), nullable=False),
    )


def downgrade() -> None:
    op.drop_table("rate_limits")
