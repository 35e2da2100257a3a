"""Announce to Prefect what was told: automations can wait for it. Silent without Prefect."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from loguru import logger
from prefect.context import FlowRunContext
from prefect.events import emit_event

from learning.alert import Alert, Phase
from learning.alert_events import event_name


@dataclass(frozen=True)
class Told:
    """An alert that will be told, and where its incident stands."""

    alert: Alert
    phase: Phase


def announce(problem: str, run_id: str, told: Sequence[Told]) -> None:
    """One event for each, about the problem and related to the flow run; never raises."""
    if not told or FlowRunContext.get() is None:
        return
    resource = {
        "prefect.resource.id": f"perennial.problem.{problem}",
        "prefect.resource.name": problem,
    }
    for one in told:
        alert = one.alert
        payload = {
            "problem": problem,
            "run_id": run_id,
            "severity": alert.severity,
            "title": alert.title,
            "text": alert.text,
            "fields": alert.fields,
        }
        try:
            emit_event(event_name(alert.kind, one.phase), resource, payload=payload)
        except Exception as error:  # who listens is not what the loop depends on
            logger.warning("{}: {} was not announced: {}", problem, alert.kind, error)
