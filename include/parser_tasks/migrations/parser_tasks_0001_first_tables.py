"""Sources and their schedules, groups, tasks and what happened to them; with data, the types of tasks."""

import sqlalchemy
from alembic import context, op

from include.common.errors import ConflictError

revision = "parser_tasks_0001"
down_revision = None
branch_labels = ("parser_tasks",)
depends_on = None


def upgrade() -> None:
    op.create_table(
        "status_totals",
        sqlalchemy.Column("result", sqlalchemy.String(length=40), nullable=False),
        sqlalchemy.Column("count", sqlalchemy.BigInteger(), nullable=False),
        sqlalchemy.PrimaryKeyConstraint("result", name=op.f("status_totals_pkey")),
    )
    op.create_table(
        "sources",
        sqlalchemy.Column("id", sqlalchemy.BigInteger().with_variant(sqlalchemy.Integer(), "sqlite"), nullable=False),
        sqlalchemy.Column("name", sqlalchemy.String(length=200), nullable=False),
        sqlalchemy.Column("parser", sqlalchemy.String(length=200), nullable=False),
        sqlalchemy.Column("address", sqlalchemy.String(length=2000), nullable=False),
        sqlalchemy.Column("settings", sqlalchemy.JSON(), nullable=False),
        sqlalchemy.Column("active", sqlalchemy.Boolean(), nullable=False),
        sqlalchemy.Column("failures", sqlalchemy.Integer(), server_default="0", nullable=False),
        sqlalchemy.Column("alarmed_at", sqlalchemy.Float(precision=53), server_default="0", nullable=False),
        sqlalchemy.Column("created_at", sqlalchemy.Float(precision=53), nullable=False),
        sqlalchemy.PrimaryKeyConstraint("id", name=op.f("sources_pkey")),
        sqlalchemy.UniqueConstraint("name", name=op.f("sources_name_key")),
        sqlalchemy.UniqueConstraint("parser", "address", name="sources_parser_address_key"),
    )
    op.create_table(
        "task_events",
        sqlalchemy.Column("id", sqlalchemy.BigInteger().with_variant(sqlalchemy.Integer(), "sqlite"), nullable=False),
        sqlalchemy.Column("task_id", sqlalchemy.Uuid(), nullable=True),
        sqlalchemy.Column("at", sqlalchemy.Float(precision=53), nullable=False),
        sqlalchemy.Column("status", sqlalchemy.String(length=20), nullable=False),
        sqlalchemy.Column("attempt", sqlalchemy.Integer(), nullable=True),
        sqlalchemy.Column(
            "refused", sqlalchemy.String(length=40), server_default=sqlalchemy.text("''"), nullable=False
        ),
        sqlalchemy.Column("actor", sqlalchemy.String(length=200), server_default=sqlalchemy.text("''"), nullable=False),
        sqlalchemy.Column("detail", sqlalchemy.Text(), server_default=sqlalchemy.text("''"), nullable=False),
        sqlalchemy.Column("partition", sqlalchemy.Integer(), nullable=True),
        sqlalchemy.Column("offset", sqlalchemy.BigInteger(), nullable=True),
        sqlalchemy.PrimaryKeyConstraint("id", name=op.f("task_events_pkey")),
    )
    with op.batch_alter_table("task_events", schema=None) as batch_op:
        batch_op.create_index("task_events_task_id_idx", ["task_id", "id"], unique=False)

    task_types = op.create_table(
        "task_types",
        sqlalchemy.Column("id", sqlalchemy.BigInteger().with_variant(sqlalchemy.Integer(), "sqlite"), nullable=False),
        sqlalchemy.Column("name", sqlalchemy.String(length=200), nullable=False),
        sqlalchemy.Column("title", sqlalchemy.Text(), server_default=sqlalchemy.text("''"), nullable=False),
        sqlalchemy.PrimaryKeyConstraint("id", name=op.f("task_types_pkey")),
        sqlalchemy.UniqueConstraint("name", name=op.f("task_types_name_key")),
    )
    op.create_table(
        "source_task_types",
        sqlalchemy.Column("id", sqlalchemy.BigInteger().with_variant(sqlalchemy.Integer(), "sqlite"), nullable=False),
        sqlalchemy.Column(
            "source_id", sqlalchemy.BigInteger().with_variant(sqlalchemy.Integer(), "sqlite"), nullable=False
        ),
        sqlalchemy.Column(
            "task_type_id", sqlalchemy.BigInteger().with_variant(sqlalchemy.Integer(), "sqlite"), nullable=False
        ),
        sqlalchemy.Column("schedule", sqlalchemy.String(length=200), nullable=False),
        sqlalchemy.Column("priority", sqlalchemy.Integer(), server_default="0", nullable=False),
        sqlalchemy.Column("deadline_seconds", sqlalchemy.Float(precision=53), nullable=False),
        sqlalchemy.Column("active", sqlalchemy.Boolean(), nullable=False),
        sqlalchemy.Column("due_at", sqlalchemy.Float(precision=53), nullable=False),
        sqlalchemy.CheckConstraint("deadline_seconds > 0", name=op.f("source_task_types_deadline_seconds_check")),
        sqlalchemy.ForeignKeyConstraint(
            ["source_id"], ["sources.id"], name=op.f("source_task_types_source_id_fkey"), ondelete="CASCADE"
        ),
        sqlalchemy.ForeignKeyConstraint(
            ["task_type_id"], ["task_types.id"], name=op.f("source_task_types_task_type_id_fkey"), ondelete="RESTRICT"
        ),
        sqlalchemy.PrimaryKeyConstraint("id", name=op.f("source_task_types_pkey")),
        sqlalchemy.UniqueConstraint("source_id", "task_type_id", name="source_task_types_source_id_task_type_id_key"),
    )
    with op.batch_alter_table("source_task_types", schema=None) as batch_op:
        batch_op.create_index("source_task_types_due_at_idx", ["due_at"], unique=False)
        batch_op.create_index(batch_op.f("source_task_types_task_type_id_idx"), ["task_type_id"], unique=False)

    op.create_table(
        "task_groups",
        sqlalchemy.Column("id", sqlalchemy.BigInteger().with_variant(sqlalchemy.Integer(), "sqlite"), nullable=False),
        sqlalchemy.Column("parser", sqlalchemy.String(length=200), nullable=False),
        sqlalchemy.Column(
            "task_type_id", sqlalchemy.BigInteger().with_variant(sqlalchemy.Integer(), "sqlite"), nullable=False
        ),
        sqlalchemy.Column("cause", sqlalchemy.String(length=40), nullable=False),
        sqlalchemy.Column("total", sqlalchemy.BigInteger(), server_default="0", nullable=False),
        sqlalchemy.Column("done", sqlalchemy.BigInteger(), server_default="0", nullable=False),
        sqlalchemy.Column("failed", sqlalchemy.BigInteger(), server_default="0", nullable=False),
        sqlalchemy.Column("cancelled", sqlalchemy.BigInteger(), server_default="0", nullable=False),
        sqlalchemy.Column("late", sqlalchemy.BigInteger(), server_default="0", nullable=False),
        sqlalchemy.Column("created_at", sqlalchemy.Float(precision=53), nullable=False),
        sqlalchemy.Column("deadline_at", sqlalchemy.Float(precision=53), nullable=False),
        sqlalchemy.Column("ended_at", sqlalchemy.Float(precision=53), server_default="0", nullable=False),
        sqlalchemy.Column("told_at", sqlalchemy.Float(precision=53), server_default="0", nullable=False),
        sqlalchemy.ForeignKeyConstraint(
            ["task_type_id"], ["task_types.id"], name=op.f("task_groups_task_type_id_fkey"), ondelete="RESTRICT"
        ),
        sqlalchemy.PrimaryKeyConstraint("id", name=op.f("task_groups_pkey")),
    )
    with op.batch_alter_table("task_groups", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("task_groups_task_type_id_idx"), ["task_type_id"], unique=False)
        batch_op.create_index("task_groups_created_at_idx", ["created_at"], unique=False)
        batch_op.create_index(
            "task_groups_open_idx",
            ["id"],
            unique=False,
            sqlite_where=sqlalchemy.text("ended_at = 0"),
            postgresql_where=sqlalchemy.text("ended_at = 0"),
        )
        batch_op.create_index(
            "task_groups_untold_idx",
            ["ended_at"],
            unique=False,
            sqlite_where=sqlalchemy.text("told_at = 0"),
            postgresql_where=sqlalchemy.text("told_at = 0"),
        )

    op.create_table(
        "task_totals",
        sqlalchemy.Column("parser", sqlalchemy.String(length=200), nullable=False),
        sqlalchemy.Column(
            "task_type_id", sqlalchemy.BigInteger().with_variant(sqlalchemy.Integer(), "sqlite"), nullable=False
        ),
        sqlalchemy.Column("status", sqlalchemy.String(length=20), nullable=False),
        sqlalchemy.Column("reached", sqlalchemy.BigInteger(), nullable=False),
        sqlalchemy.Column("left", sqlalchemy.BigInteger(), nullable=False),
        sqlalchemy.Column("seconds", sqlalchemy.Float(precision=53), nullable=False),
        sqlalchemy.ForeignKeyConstraint(
            ["task_type_id"], ["task_types.id"], name=op.f("task_totals_task_type_id_fkey"), ondelete="CASCADE"
        ),
        sqlalchemy.PrimaryKeyConstraint("parser", "task_type_id", "status", name=op.f("task_totals_pkey")),
    )
    op.create_table(
        "tasks",
        sqlalchemy.Column("id", sqlalchemy.Uuid(), nullable=False),
        sqlalchemy.Column(
            "group_id", sqlalchemy.BigInteger().with_variant(sqlalchemy.Integer(), "sqlite"), nullable=False
        ),
        sqlalchemy.Column(
            "source_id", sqlalchemy.BigInteger().with_variant(sqlalchemy.Integer(), "sqlite"), nullable=True
        ),
        sqlalchemy.Column("source_name", sqlalchemy.String(length=200), nullable=False),
        sqlalchemy.Column("parser", sqlalchemy.String(length=200), nullable=False),
        sqlalchemy.Column(
            "task_type_id", sqlalchemy.BigInteger().with_variant(sqlalchemy.Integer(), "sqlite"), nullable=False
        ),
        sqlalchemy.Column("status", sqlalchemy.String(length=20), nullable=False),
        sqlalchemy.Column("attempt", sqlalchemy.Integer(), nullable=False),
        sqlalchemy.Column("priority", sqlalchemy.Integer(), nullable=False),
        sqlalchemy.Column("retry_of", sqlalchemy.Uuid(), nullable=True),
        sqlalchemy.Column("created_at", sqlalchemy.Float(precision=53), nullable=False),
        sqlalchemy.Column("deadline_at", sqlalchemy.Float(precision=53), nullable=False),
        sqlalchemy.Column("queued_at", sqlalchemy.Float(precision=53), server_default="0", nullable=False),
        sqlalchemy.Column("started_at", sqlalchemy.Float(precision=53), server_default="0", nullable=False),
        sqlalchemy.Column("ended_at", sqlalchemy.Float(precision=53), server_default="0", nullable=False),
        sqlalchemy.Column("topic", sqlalchemy.String(length=249), server_default=sqlalchemy.text("''"), nullable=False),
        sqlalchemy.Column("partition", sqlalchemy.Integer(), nullable=True),
        sqlalchemy.Column("offset", sqlalchemy.BigInteger(), nullable=True),
        sqlalchemy.Column(
            "worker", sqlalchemy.String(length=200), server_default=sqlalchemy.text("''"), nullable=False
        ),
        sqlalchemy.Column("error", sqlalchemy.Text(), server_default=sqlalchemy.text("''"), nullable=False),
        sqlalchemy.Column("reason", sqlalchemy.String(length=40), server_default=sqlalchemy.text("''"), nullable=False),
        sqlalchemy.Column("statistics", sqlalchemy.JSON(), nullable=False),
        sqlalchemy.ForeignKeyConstraint(
            ["group_id"], ["task_groups.id"], name=op.f("tasks_group_id_fkey"), ondelete="CASCADE"
        ),
        sqlalchemy.ForeignKeyConstraint(
            ["source_id"], ["sources.id"], name=op.f("tasks_source_id_fkey"), ondelete="SET NULL"
        ),
        sqlalchemy.ForeignKeyConstraint(
            ["task_type_id"], ["task_types.id"], name=op.f("tasks_task_type_id_fkey"), ondelete="RESTRICT"
        ),
        sqlalchemy.PrimaryKeyConstraint("id", name=op.f("tasks_pkey")),
    )
    with op.batch_alter_table("tasks", schema=None) as batch_op:
        batch_op.create_index(
            "tasks_error_idx",
            ["id"],
            unique=False,
            sqlite_where=sqlalchemy.text("error <> ''"),
            postgresql_where=sqlalchemy.text("error <> ''"),
        )
        batch_op.create_index("tasks_group_id_idx", ["group_id", "id"], unique=False)
        batch_op.create_index(
            "tasks_open_deadline_at_idx",
            ["deadline_at"],
            unique=False,
            sqlite_where=sqlalchemy.text("status IN ('created', 'queued', 'in_progress')"),
            postgresql_where=sqlalchemy.text("status IN ('created', 'queued', 'in_progress')"),
        )
        batch_op.create_index(
            "tasks_open_key",
            ["source_id", "task_type_id"],
            unique=True,
            sqlite_where=sqlalchemy.text("status IN ('created', 'queued', 'in_progress')"),
            postgresql_where=sqlalchemy.text("status IN ('created', 'queued', 'in_progress')"),
        )
        batch_op.create_index("tasks_parser_status_idx", ["parser", "status", "id"], unique=False)
        batch_op.create_index(
            "tasks_retry_of_idx",
            ["retry_of"],
            unique=False,
            sqlite_where=sqlalchemy.text("retry_of IS NOT NULL"),
            postgresql_where=sqlalchemy.text("retry_of IS NOT NULL"),
        )
        batch_op.create_index("tasks_source_id_idx", ["source_id", "id"], unique=False)
        batch_op.create_index("tasks_status_idx", ["status", "id"], unique=False)
        batch_op.create_index("tasks_task_type_id_idx", ["task_type_id", "id"], unique=False)
        batch_op.create_index(
            "tasks_worker_idx",
            ["worker", "id"],
            unique=False,
            sqlite_where=sqlalchemy.text("worker <> ''"),
            postgresql_where=sqlalchemy.text("worker <> ''"),
        )

    if context.get_x_argument(as_dictionary=True).get("data") == "true":
        op.bulk_insert(
            task_types,
            [
                {"name": "latest", "title": "What is new since the last task"},
                {"name": "all", "title": "Everything that the source still has"},
            ],
        )


def downgrade() -> None:
    if not context.is_offline_mode():
        tasks = sqlalchemy.text("SELECT count(*) FROM tasks WHERE status IN ('created', 'queued', 'in_progress')")
        if count := op.get_bind().scalar(tasks):
            raise ConflictError(f"{count} tasks are open: cancel them first, or workers report tasks that nobody knows")
    with op.batch_alter_table("tasks", schema=None) as batch_op:
        batch_op.drop_index(
            "tasks_worker_idx",
            sqlite_where=sqlalchemy.text("worker <> ''"),
            postgresql_where=sqlalchemy.text("worker <> ''"),
        )
        batch_op.drop_index("tasks_task_type_id_idx")
        batch_op.drop_index("tasks_status_idx")
        batch_op.drop_index("tasks_source_id_idx")
        batch_op.drop_index(
            "tasks_retry_of_idx",
            sqlite_where=sqlalchemy.text("retry_of IS NOT NULL"),
            postgresql_where=sqlalchemy.text("retry_of IS NOT NULL"),
        )
        batch_op.drop_index("tasks_parser_status_idx")
        batch_op.drop_index(
            "tasks_open_key",
            sqlite_where=sqlalchemy.text("status IN ('created', 'queued', 'in_progress')"),
            postgresql_where=sqlalchemy.text("status IN ('created', 'queued', 'in_progress')"),
        )
        batch_op.drop_index(
            "tasks_open_deadline_at_idx",
            sqlite_where=sqlalchemy.text("status IN ('created', 'queued', 'in_progress')"),
            postgresql_where=sqlalchemy.text("status IN ('created', 'queued', 'in_progress')"),
        )
        batch_op.drop_index("tasks_group_id_idx")
        batch_op.drop_index(
            "tasks_error_idx",
            sqlite_where=sqlalchemy.text("error <> ''"),
            postgresql_where=sqlalchemy.text("error <> ''"),
        )

    op.drop_table("tasks")
    op.drop_table("task_totals")
    with op.batch_alter_table("task_groups", schema=None) as batch_op:
        batch_op.drop_index(
            "task_groups_untold_idx",
            sqlite_where=sqlalchemy.text("told_at = 0"),
            postgresql_where=sqlalchemy.text("told_at = 0"),
        )
        batch_op.drop_index(batch_op.f("task_groups_task_type_id_idx"))
        batch_op.drop_index(
            "task_groups_open_idx",
            sqlite_where=sqlalchemy.text("ended_at = 0"),
            postgresql_where=sqlalchemy.text("ended_at = 0"),
        )
        batch_op.drop_index("task_groups_created_at_idx")

    op.drop_table("task_groups")
    with op.batch_alter_table("source_task_types", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("source_task_types_task_type_id_idx"))
        batch_op.drop_index("source_task_types_due_at_idx")

    op.drop_table("source_task_types")
    op.drop_table("task_types")
    with op.batch_alter_table("task_events", schema=None) as batch_op:
        batch_op.drop_index("task_events_task_id_idx")

    op.drop_table("task_events")
    op.drop_table("sources")
    op.drop_table("status_totals")
