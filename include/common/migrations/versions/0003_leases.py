"""Leases: which try may call the rows of a chunk, and until when."""

import sqlalchemy
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "leases",
        sqlalchemy.Column("key", sqlalchemy.String(250), primary_key=True),
        sqlalchemy.Column("attempt", sqlalchemy.Integer, nullable=False),
        sqlalchemy.Column("holder", sqlalchemy.String(250), nullable=False),
        sqlalchemy.Column("calling", sqlalchemy.Boolean, nullable=False),
        sqlalchemy.Column("until", sqlalchemy.Float(precision=53), nullable=False),
    )


def downgrade() -> None:
    op.drop_table("leases")
