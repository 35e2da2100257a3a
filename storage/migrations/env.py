"""Alembic's entry: migrates the database that the caller names, in one transaction."""

from __future__ import annotations

from alembic import context

from storage.database import open_engine
from storage.tables import metadata


def migrate() -> None:
    """Run the migrations on the URL that `storage.database.upgrade` put in the configuration."""
    engine = open_engine(context.config.attributes["url"])
    with engine.connect() as connection:
        if engine.dialect.name == "sqlite":
            # The write lock first: two processes that start together then migrate one by one.
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        else:
            connection.exec_driver_sql("SELECT pg_advisory_xact_lock(7305)")
        context.configure(
            connection=connection,
            target_metadata=metadata,
            render_as_batch=True,
            transactional_ddl=True,
        )
        with context.begin_transaction():
            context.run_migrations()
        connection.commit()
    engine.dispose()


migrate()
