"""Alembic's way in. The caller brings the connection and its transaction; no ini file, no URL."""

from alembic import context

from engine.record.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()
