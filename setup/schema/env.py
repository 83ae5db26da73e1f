"""Alembic's entry point: runs the migrations on the connection that ``migrate`` hands over."""

from alembic import context

connection = context.config.attributes["connection"]
context.configure(connection=connection, transactional_ddl=False)
with context.begin_transaction():
    context.run_migrations()
