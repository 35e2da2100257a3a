"""Deliver what waits in the outbox, beside the loop and never in its way."""

from __future__ import annotations

from datetime import UTC, datetime

from loguru import logger
from sqlalchemy.exc import SQLAlchemyError

from settings import Settings
from storage.database import open_engine
from tasks.alerts import deliver
from tasks.step import step

BUDGET_SECONDS = 10.0


@step("deliver alerts")
def deliver_alerts(settings: Settings) -> int:
    """Send due alerts to Discord, or to the log without a webhook; returns how many went out."""
    url = settings.discord_webhook_url
    engine = open_engine(settings.sql_url)
    try:
        told = deliver(
            engine, url.get_secret_value() if url else None, datetime.now(UTC), BUDGET_SECONDS
        )
    except SQLAlchemyError as error:
        logger.warning("alerts wait in the outbox: {}", type(error).__name__)
        return 0
    finally:
        engine.dispose()
    return told.sent + told.logged
