"""Which workers are there, and what was imported of the pools' file."""

import sqlalchemy
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "workers",
        sqlalchemy.Column("name", sqlalchemy.String(250), primary_key=True),
        sqlalchemy.Column("until", sqlalchemy.Float(precision=53), nullable=False),
    )
    op.create_table(
        "imported_pools",
        sqlalchemy.Column("name", sqlalchemy.String(250), primary_key=True),
        sqlalchemy.Column("definition", sqlalchemy.Text, nullable=False),
    )


def downgrade() -> None:
    op.drop_table("imported_pools")
    op.drop_table("workers")
