"""What each run came to, and totals over all runs."""

import sqlalchemy
from alembic import op

revision = "enrichment_0001"
down_revision = None
branch_labels = ("enrichment",)
depends_on = None


def upgrade() -> None:
    op.create_table(
        "csv_runs",
        sqlalchemy.Column("dag_id", sqlalchemy.String(length=250), nullable=False),
        sqlalchemy.Column("run_id", sqlalchemy.String(length=250), nullable=False),
        sqlalchemy.Column("state", sqlalchemy.String(length=20), nullable=False),
        sqlalchemy.Column("rows", sqlalchemy.BigInteger(), nullable=False),
        sqlalchemy.Column("ok", sqlalchemy.BigInteger(), nullable=False),
        sqlalchemy.Column("failed", sqlalchemy.BigInteger(), nullable=False),
        sqlalchemy.Column("skipped", sqlalchemy.BigInteger(), nullable=False),
        sqlalchemy.Column("calls", sqlalchemy.BigInteger(), nullable=False),
        sqlalchemy.Column("retries", sqlalchemy.BigInteger(), nullable=False),
        sqlalchemy.Column("waited", sqlalchemy.Float(precision=53), nullable=False),
        sqlalchemy.Column("seconds", sqlalchemy.Float(precision=53), nullable=False),
        sqlalchemy.Column("files", sqlalchemy.BigInteger(), nullable=False),
        sqlalchemy.Column("partial", sqlalchemy.Boolean(), nullable=False),
        sqlalchemy.Column("began", sqlalchemy.Float(precision=53), nullable=False),
        sqlalchemy.Column("ended_at", sqlalchemy.Float(precision=53), nullable=False),
        sqlalchemy.PrimaryKeyConstraint("dag_id", "run_id", name=op.f("csv_runs_pkey")),
    )
    op.create_table(
        "csv_totals",
        sqlalchemy.Column("dag_id", sqlalchemy.String(length=250), nullable=False),
        sqlalchemy.Column("state", sqlalchemy.String(length=20), nullable=False),
        sqlalchemy.Column("runs", sqlalchemy.BigInteger(), nullable=False),
        sqlalchemy.Column("seconds", sqlalchemy.Float(precision=53), nullable=False),
        sqlalchemy.Column("ok", sqlalchemy.BigInteger(), nullable=False),
        sqlalchemy.Column("failed", sqlalchemy.BigInteger(), nullable=False),
        sqlalchemy.Column("skipped", sqlalchemy.BigInteger(), nullable=False),
        sqlalchemy.Column("calls", sqlalchemy.BigInteger(), nullable=False),
        sqlalchemy.Column("retries", sqlalchemy.BigInteger(), nullable=False),
        sqlalchemy.Column("waited", sqlalchemy.Float(precision=53), nullable=False),
        sqlalchemy.Column("last_seconds", sqlalchemy.Float(precision=53), nullable=False),
        sqlalchemy.Column("last_ended_at", sqlalchemy.Float(precision=53), nullable=False),
        sqlalchemy.PrimaryKeyConstraint("dag_id", "state", name=op.f("csv_totals_pkey")),
    )


def downgrade() -> None:
    op.drop_table("csv_totals")
    op.drop_table("csv_runs")
