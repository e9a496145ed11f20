"""Rate limits: the end of a pause that the API asked for. Budgets: how many calls a run has taken."""

import sqlalchemy
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # A row of 0001 keeps its meaning: without a burst, the next free start is the theoretical arrival time.
    op.add_column(
        "rate_limits",
        sqlalchemy.Column("paused_until", sqlalchemy.Float(precision=53), nullable=False, server_default="0"),
    )
    op.create_table(
        "budgets",
        sqlalchemy.Column("key", sqlalchemy.String(250), primary_key=True),
        sqlalchemy.Column("used", sqlalchemy.BigInteger, nullable=False),
    )


def downgrade() -> None:
    op.drop_table("budgets")
    op.drop_column("rate_limits", "paused_until")
