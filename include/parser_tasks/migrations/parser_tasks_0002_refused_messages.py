"""Refused messages"""

import sqlalchemy
from alembic import op

revision = "parser_tasks_0002"
down_revision = "parser_tasks_0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("task_events", schema=None) as batch_op:
        batch_op.create_index(
            "task_events_refused_idx",
            ["refused", "id"],
            unique=False,
            sqlite_where=sqlalchemy.text("refused <> ''"),
            postgresql_where=sqlalchemy.text("refused <> ''"),
        )


def downgrade() -> None:
    with op.batch_alter_table("task_events", schema=None) as batch_op:
        batch_op.drop_index(
            "task_events_refused_idx",
            sqlite_where=sqlalchemy.text("refused <> ''"),
            postgresql_where=sqlalchemy.text("refused <> ''"),
        )
