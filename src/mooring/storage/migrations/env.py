"""Alembic's entry: runs the revisions on the connection that `migrate.py` has locked, in its transaction."""

from alembic import context

context.configure(connection=context.config.attributes["connection"])
context.run_migrations()
