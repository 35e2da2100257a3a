"""The automations that come with Perennial; a person may switch each on or off in the UI."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

from operate.worker_heartbeat import BEAT_SECONDS, EVENT

if TYPE_CHECKING:
    from prefect.events.schemas.automations import AutomationCore

SILENT_SECONDS = 3 * BEAT_SECONDS
TAGS = ["perennial"]
ENDS = ("Completed", "Failed", "Cancelled", "Crashed", "TimedOut")


def crash_silent_runs(silent_seconds: float = SILENT_SECONDS) -> AutomationCore:
    """Runs without a sign of life for so long are marked Crashed and free their deployment."""
    from prefect.client.schemas.objects import StateType
    from prefect.events.actions import ChangeFlowRunState
    from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture
    from prefect.events.schemas.events import ResourceSpecification

    trigger = EventTrigger(
        after={EVENT},
        expect={EVENT, *(f"prefect.flow-run.{end}" for end in ENDS)},
        match=ResourceSpecification({"prefect.resource.id": "prefect.flow-run.*"}),
        for_each={"prefect.resource.id"},
        posture=Posture.Proactive,
        threshold=1,
        within=timedelta(seconds=silent_seconds),
    )
    message = f"No sign of life for {silent_seconds:.0f} seconds: its worker or machine is gone."
    return AutomationCore(
        name="Perennial: crash silent runs",
        description="Marks runs Crashed whose process fell silent, so that the next may start.",
        trigger=trigger,
        actions=[ChangeFlowRunState(state=StateType.CRASHED, message=message)],
        tags=TAGS,
    )


def hold_after_rollback(loop: UUID) -> AutomationCore:
    """After a rollback the loop holds until a person resumes it; off unless switched on."""
    from prefect.events.actions import PauseDeployment
    from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture

    return AutomationCore(
        name="Perennial: hold the loop after a rollback",
        description=(
            "Pauses the deployment continual when a person has rolled back, so that nothing is "
            "promoted before the cause is known. Predictions go on. Resume it when you are done."
        ),
        trigger=EventTrigger(
            expect={"perennial.rollback"},
            posture=Posture.Reactive,
            threshold=1,
            within=timedelta(0),
        ),
        actions=[PauseDeployment(source="selected", deployment_id=loop)],
        enabled=False,
        tags=TAGS,
    )


async def ensure_automations(client: Any, deployments: Mapping[str, UUID]) -> list[str]:
    """Create the automations, or bring them up to date; what a person switched stays switched."""
    wanted = [crash_silent_runs()]
    if "continual" in deployments:
        wanted.append(hold_after_rollback(deployments["continual"]))
    for automation in wanted:
        found = await client.read_automations_by_name(automation.name)
        if found:
            kept = automation.model_copy(update={"enabled": found[0].enabled})
            await client.update_automation(found[0].id, kept)
        else:
            await client.create_automation(automation)
    return [automation.name for automation in wanted]
