"""The Prefect server's application, on SQLite as many writers at once need it."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from prefect.server.api.server import create_app as create_prefect_app
from prefect.server.database.configurations import AioSqliteConfiguration
from prefect.server.database.dependencies import set_database_config
from prefect.settings import PREFECT_API_DATABASE_CONNECTION_URL


class QueueingSqlite(AioSqliteConfiguration):
    """Transactions wait for their turn to write when they begin, up to SQLite's busy timeout.

    Prefect's own begin by reading. Where another writer was there in between, SQLite then refuses
    the write at once, whatever the timeout: a person who starts a run is answered 503, and events
    that automations count are lost.
    """

    @asynccontextmanager
    async def begin_transaction(
        self,
        session: Any,
        with_for_update: bool = False,
    ) -> AsyncGenerator[Any, None]:
        """A transaction that holds the write lock from its beginning."""
        async with super().begin_transaction(session, with_for_update=True) as transaction:
            yield transaction


def create_app() -> Any:
    """The server's application."""
    set_database_config(QueueingSqlite(connection_url=PREFECT_API_DATABASE_CONNECTION_URL.value()))
    return create_prefect_app()
