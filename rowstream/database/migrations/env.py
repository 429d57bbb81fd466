"""Alembic's entry: runs the migrations on the connection that `rowstream.database.migrate` hands over."""

from alembic import context

from rowstream.database.catalogue import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()
