"""Alembic's entry, for `include.common.schema`: on the connection that it hands over, or as text without one."""

from alembic import context

given = context.config.attributes
how = (
    {"dialect_name": given["dialect"], "literal_binds": True, "starting_rev": given["at"]}
    if context.is_offline_mode()
    else {"connection": given["connection"]}
)
context.configure(
    **how,
    target_metadata=given["metadata"],
    version_table=given["version_table"],
    render_as_batch=True,
    sqlalchemy_module_prefix="sqlalchemy.",
    compare_server_default=True,
    transactional_ddl=True,  # SQLite's as well: it is one transaction
)
with context.begin_transaction():
    context.run_migrations()
