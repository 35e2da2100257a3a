"""What the child process of one flow run does."""

from __future__ import annotations

import atexit
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

from operate.worker_heartbeat import heartbeats
from operate.worker_life import die_with_worker

if TYPE_CHECKING:
    from prefect.client.schemas.objects import FlowRun

SET_DIRECTORY = "prefect.deployments.steps.set_working_directory"


def execute(flow_run_id: UUID, env: Mapping[str, str | None], directory: Path | None) -> None:
    """Run the flow run to its end, as `python -m prefect.engine` would, and exit like it."""
    die_with_worker()
    for name, value in env.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
    os.environ["PREFECT__FLOW_RUN_ID"] = str(flow_run_id)
    if directory is not None:
        os.chdir(directory)
    try:
        _run(flow_run_id)
    finally:
        # A forked child ends without them, and they send the last logs and events.
        atexit._run_exitfuncs()


def _enter_checkout(flow_run: FlowRun) -> None:
    """Take the one step of a deployment that only changes the folder, without its five log lines.

    Any other deployment is left to Prefect, which runs its steps.
    """
    from prefect.client.orchestration import get_client

    if flow_run.deployment_id is None:
        return
    with get_client(sync_client=True) as client:
        deployment = client.read_deployment(flow_run.deployment_id)
    steps = deployment.pull_steps or []
    if deployment.entrypoint and len(steps) == 1 and list(steps[0]) == [SET_DIRECTORY]:
        os.chdir(steps[0][SET_DIRECTORY]["directory"])
        os.environ["PREFECT__FLOW_ENTRYPOINT"] = deployment.entrypoint


def _run(flow_run_id: UUID) -> None:
    from prefect import context
    from prefect.engine import _drive_run_flow_result, handle_engine_signals
    from prefect.flow_engine import load_flow, load_flow_run, run_flow
    from prefect.logging.loggers import flow_run_logger
    from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings

    # The fork server read its settings before this run's environment was known.
    context.refresh_global_settings_context()
    # Each synchronous flow and subflow would end by waiting a second for its heartbeat thread.
    # These are sent without: an automation crashes runs that fall silent with their machine.
    # Of those that die alone, the worker tells at once.
    without_heartbeats = temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None})
    with without_heartbeats, handle_engine_signals(flow_run_id):
        flow_run = load_flow_run(flow_run_id)
        logger: Any = flow_run_logger(flow_run)
        try:
            _enter_checkout(flow_run)
            flow = load_flow(flow_run)
        except Exception:
            logger.exception("The flow could not be loaded")
            raise
        with heartbeats(flow_run.id, flow_run.name):
            result: object = run_flow(flow, flow_run=flow_run, error_logger=logger)
            _drive_run_flow_result(flow, result)
