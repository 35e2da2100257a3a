"""Deliver what waits in the outbox, beside the loop and never in its way."""

from __future__ import annotations

from datetime import UTC, datetime

from loguru import logger
from sqlalchemy.exc import SQLAlchemyError

from settings import Settings
from storage.database import open_engine
from tasks.alert_message import Composer
from tasks.alerts import deliver
from tasks.senders import senders_of
from tasks.step import step

BUDGET_SECONDS = 10.0


def send_alerts(settings: Settings) -> int:
    """Send due alerts through every channel, or to the log without one; returns how many."""
    engine = open_engine(settings.sql_url)
    try:
        senders, compose = senders_of(settings), Composer(settings, engine)
        told = deliver(engine, senders, datetime.now(UTC), BUDGET_SECONDS, compose)
    except SQLAlchemyError as error:
        logger.warning("alerts wait in the outbox: {}", type(error).__name__)
        return 0
    finally:
        engine.dispose()
    return told.sent + told.logged


deliver_alerts = step("deliver alerts")(send_alerts)
