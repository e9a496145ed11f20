"""Alembic's entry: runs on the connection that `include.common.database.migrate` hands over."""

from alembic import context

connection = context.config.attributes["connection"]
context.configure(connection=connection, version_table="headrace_version", render_as_batch=True)
with context.begin_transaction():
    context.run_migrations()
