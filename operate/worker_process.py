"""A Prefect worker of type `process` whose flow runs start from a warm fork server."""

from __future__ import annotations

import signal
import socket
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import anyio
import httpx
from anyio.abc import TaskStatus
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.responses import WorkerFlowRunResponse
from prefect.exceptions import ObjectNotFound
from prefect.logging import get_logger
from prefect.workers.base import BaseWorker
from prefect.workers.process import ProcessJobConfiguration, ProcessVariables, ProcessWorkerResult

from operate import worker_backlog as backlog
from operate.worker_forks import Child, Forks

GRACE_SECONDS = 5.0
PREFETCH_SECONDS = 2.0


class WarmWorker(BaseWorker[ProcessJobConfiguration, ProcessVariables, ProcessWorkerResult]):
    """Serves a process work pool; `prefect worker start` can take its place at any time."""

    type = "process"
    job_configuration = ProcessJobConfiguration
    job_configuration_variables = ProcessVariables

    def __init__(self, pool: str, forks: Forks) -> None:
        super().__init__(
            pool, name=f"warm-{socket.gethostname()}", prefetch_seconds=PREFETCH_SECONDS
        )
        self._forks = forks
        self._children: dict[UUID, Child] = {}
        self._cancelled: set[UUID] = set()
        self._skipping: dict[backlog.Series, datetime] = {}
        self._is_unreachable = False

    @classmethod
    def __dispatch_key__(cls) -> str:
        """A name of its own: `process` is taken, in Prefect's registry, by the stock worker."""
        return "perennial-warm-process"

    async def run(
        self,
        flow_run: FlowRun,
        configuration: ProcessJobConfiguration,
        task_status: TaskStatus[Any] | None = None,
    ) -> ProcessWorkerResult:
        """Run one flow run in a child; a child that dies gives the status that marks it Crashed."""
        child = await self._forks.start(flow_run.id, configuration.env, configuration.working_dir)
        self._children[flow_run.id] = child
        try:
            if task_status is not None:
                task_status.started(child.identifier)
            status = await child.wait()
        except anyio.get_cancelled_exc_class():
            with anyio.CancelScope(shield=True):
                await self._stop_with_worker(flow_run, child)
            raise
        finally:
            self._children.pop(flow_run.id, None)
        if flow_run.id in self._cancelled:
            status = 0  # it ended because it was asked to: its state says so already
            self._cancelled.discard(flow_run.id)
        return ProcessWorkerResult(identifier=child.identifier, status_code=status)

    async def _stop_with_worker(self, flow_run: FlowRun, child: Child) -> None:
        if await child.stop(GRACE_SECONDS) != 0:
            with anyio.move_on_after(3):
                await self._propose_crashed_state(flow_run, "The worker was stopped.")

    async def _end_cancelled(self) -> None:
        """End the children of runs that a person cancelled.

        Asked at each poll while something runs: Prefect's own observer of cancellations forgets a
        run as soon as it has started.
        """
        for flow_run in await backlog.find_cancelling(self.client, list(self._children)):
            if flow_run.id not in self._cancelled:
                self._cancelled.add(flow_run.id)
                self._in_background(self._cancel_child, flow_run)

    async def _cancel_child(self, flow_run: FlowRun) -> None:
        child = self._children.get(flow_run.id)
        if child is not None:
            await child.stop(GRACE_SECONDS)
        try:
            await self._mark_flow_run_as_cancelled(flow_run, {"message": "Its process was ended."})
        except httpx.HTTPError as error:
            self._logger.warning("Cancelled, but the server could not be told: %r", error)

    async def kill_infrastructure(
        self,
        infrastructure_pid: str,
        configuration: ProcessJobConfiguration,
        grace_seconds: int = 30,
    ) -> None:
        """End the child with this identifier, if it is ours."""
        for child in list(self._children.values()):
            if child.identifier == infrastructure_pid:
                await child.stop(min(grace_seconds, GRACE_SECONDS))

    async def get_and_submit_flow_runs(self) -> list[FlowRun]:
        """Submit what is due; a server that does not answer is waited for, for ever.

        The stock loop would give up after a minute and a half and take running flows with it.
        """
        try:
            await self._end_cancelled()
            submitted: list[FlowRun] = await super().get_and_submit_flow_runs()
        except httpx.HTTPError as error:
            if not self._is_unreachable:
                self._logger.warning("The Prefect server does not answer: %r", error)
            self._is_unreachable = True
            return []
        if self._is_unreachable:
            self._logger.info("The Prefect server answers again.")
        self._is_unreachable = False
        return submitted

    async def _get_scheduled_flow_runs(self) -> list[WorkerFlowRunResponse]:
        """What is due, with one run for each series that piled up while nobody served it."""
        entries: list[WorkerFlowRunResponse] = await super()._get_scheduled_flow_runs()
        now = datetime.now(UTC)
        waiting = [entry for entry in entries if not self._is_being_skipped(entry.flow_run)]
        for series in backlog.find_overdue([entry.flow_run for entry in waiting], now):
            kept = await backlog.find_newest(self.client, series, now)
            if kept is None:
                continue
            self._skipping[series] = backlog.due_time(kept)
            template = next(e for e in waiting if backlog.series_of(e.flow_run) == series)
            waiting = [e for e in waiting if not self._is_being_skipped(e.flow_run)]
            if kept.id not in {entry.flow_run.id for entry in waiting}:
                waiting.append(template.model_copy(update={"flow_run": kept}))
            self._in_background(self._skip_older, series, kept)
        return waiting

    def _is_being_skipped(self, run: FlowRun) -> bool:
        series = backlog.series_of(run)
        covered = self._skipping.get(series) if series is not None else None
        return covered is not None and backlog.due_time(run) < covered

    async def _skip_older(self, series: backlog.Series, kept: FlowRun) -> None:
        try:
            count = await backlog.skip_older(self.client, series, kept)
            self._logger.info("%d runs due before %s skipped", count, backlog.due_time(kept))
        except httpx.HTTPError as error:
            self._logger.warning("Old runs could not be skipped now: %r", error)
        finally:
            self._skipping.pop(series, None)

    async def _initialize_after_sync(self) -> None:
        """After each exchange with the server, report the runs that lost their process."""
        await super()._initialize_after_sync()
        if self._work_pool is not None:
            self._in_background(self._report_orphans)

    async def _report_orphans(self) -> None:
        try:
            orphans = await backlog.find_orphans(
                self.client, self._work_pool_name, datetime.now(UTC)
            )
        except (httpx.HTTPError, ObjectNotFound) as error:
            self._logger.warning("Lost runs could not be looked for: %r", error)
            return
        for run in orphans:
            if run.id in self._children or run.id in self._submitting_flow_run_ids:
                continue
            if run.state is not None and run.state.is_cancelling():
                await self._mark_flow_run_as_cancelled(run, {"message": "Its process is gone."})
            else:
                await self._propose_crashed_state(run, "Its process is gone: the worker was lost.")

    def _in_background(self, function: Callable[..., Any], *arguments: object) -> None:
        if self._runs_task_group is not None:
            self._runs_task_group.start_soon(function, *arguments)


async def _stop_on_signal(scope: anyio.CancelScope, forks: Forks) -> None:
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async for _ in signals:
            forks.interrupt()
            scope.cancel()


async def _wait_for_pool(pool: str) -> None:
    logger = get_logger("perennial.worker")
    is_told = False
    async with get_client() as client:
        while True:
            if await client.api_healthcheck() is None:
                try:
                    await client.read_work_pool(pool)
                    return
                except ObjectNotFound:
                    if not is_told:
                        logger.info("Waiting for work pool %r: nothing is deployed yet", pool)
                    is_told = True
            await anyio.sleep(0.2)


async def serve(pool: str, forks: Forks) -> None:
    """Serve the pool until SIGTERM or SIGINT; an error starts the worker anew."""
    logger = get_logger("perennial.worker")
    async with anyio.create_task_group() as group:
        group.start_soon(_stop_on_signal, group.cancel_scope, forks)
        await forks.warmed()
        while True:
            await _wait_for_pool(pool)
            try:
                await WarmWorker(pool, forks).start(printer=logger.info)
            except Exception:
                logger.exception("The worker starts again after an error")
                await anyio.sleep(2)
