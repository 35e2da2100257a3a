"""What all flows of the loop have in common as Prefect sees them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from loguru import logger
from prefect import Flow, flow
from prefect.client.schemas.objects import FlowRun, State
from prefect.runtime import flow_run as present_run

from learning.turns import BY_THEMSELVES
from settings import get_settings
from tasks.flow_ends import Ended, tell_of_end

P = ParamSpec("P")
R = TypeVar("R")


def loop_flow(
    name: str, timeout_minutes: float, retries: int = 0
) -> Callable[[Callable[P, R]], Flow[P, R]]:
    """Make a function a flow: named after its problem, ended in time, told of when it breaks.

    Retries are for what no later run would make good; the loop's next turn does the work of one
    that failed. Each step tries again by itself what may pass.
    """

    def decorate(function: Callable[P, R]) -> Flow[P, R]:
        made: Flow[P, R] = flow(
            name=name,
            flow_run_name=_first_name,
            timeout_seconds=timeout_minutes * 60,
            retries=retries,
            retry_delay_seconds=60,
            persist_result=False,
            on_failure=[tell],
            on_crashed=[tell],
        )(function)
        return made

    return decorate


def tell(flow: Flow[Any, Any], flow_run: FlowRun, state: State[Any]) -> None:
    """State hook: a run that failed or crashed becomes an incident, unless it was told of."""
    settings = get_settings()
    problem = flow_run.parameters.get("problem")
    is_wanted = not flow_run.auto_scheduled and state.name == "Failed"
    ended = Ended(
        flow=flow.name,
        flow_run_id=str(flow_run.id),
        problems=(problem,) if problem else settings.active,
        message=state.message or f"it ended as {state.name}",
        is_watched=is_wanted,
        comes_again=flow_run.auto_scheduled or flow.name in BY_THEMSELVES,
    )
    try:
        tell_of_end(settings, ended)
    except Exception as error:  # what went wrong before is what the run should show
        logger.warning("{}: its end was not told: {}", flow.name, type(error).__name__)


def _first_name() -> str:
    """The name of a run until it knows what it found."""
    problem = present_run.parameters.get("problem")
    return f"{present_run.flow_name} {problem or ', '.join(get_settings().active)}"
