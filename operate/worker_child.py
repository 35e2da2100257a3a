"""What the child process of one flow run does."""

from __future__ import annotations

import atexit
import os
from collections.abc import Mapping
from pathlib import Path
from uuid import UUID

from operate.worker_life import die_with_worker


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


def _run(flow_run_id: UUID) -> None:
    from prefect import context
    from prefect.engine import _drive_run_flow_result, handle_engine_signals
    from prefect.flow_engine import flow_run_logger, load_flow, load_flow_run, run_flow
    from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings

    # The fork server read its settings before this run's environment was known.
    context.refresh_global_settings_context()
    # Each synchronous flow and subflow would end by waiting a second for its heartbeat thread.
    # The worker watches its children itself and reports those that die.
    without_heartbeats = temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None})
    with without_heartbeats, handle_engine_signals(flow_run_id):
        flow_run = load_flow_run(flow_run_id)
        logger = flow_run_logger(flow_run)
        try:
            flow = load_flow(flow_run)
        except Exception:
            logger.exception("The flow could not be loaded")
            raise
        result: object = run_flow(flow, flow_run=flow_run, error_logger=logger)
        _drive_run_flow_result(flow, result)
