"""What a worker finds after an absence: runs long overdue, and runs whose process is gone."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterId,
    FlowRunFilter,
    FlowRunFilterId,
    FlowRunFilterNextScheduledStartTime,
    FlowRunFilterState,
    FlowRunFilterStateName,
    FlowRunFilterStateType,
    WorkPoolFilter,
    WorkPoolFilterName,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.client.schemas.sorting import FlowRunSort

from operate.worker_life import is_dead_here

PAGE = 200
BULK = 50  # what the server accepts in one bulk request
SUBMISSION_LIMIT = timedelta(seconds=120)

Series = tuple[UUID, str]
"""A deployment and the parameters of its runs: runs of one series do the same work."""


def series_of(run: FlowRun) -> Series | None:
    """The series of a run that a schedule made; None for one that a person asked for."""
    if not run.auto_scheduled or run.deployment_id is None:
        return None
    return run.deployment_id, json.dumps(run.parameters, sort_keys=True, default=str)


def due_time(run: FlowRun) -> datetime:
    """When a run should start, or should have."""
    due: datetime | None = run.next_scheduled_start_time or run.expected_start_time
    return due or datetime.max.replace(tzinfo=UTC)


def find_overdue(runs: Iterable[FlowRun], now: datetime) -> set[Series]:
    """Series with several runs due: all but the newest are later than a whole interval."""
    due = Counter(series_of(run) for run in runs if due_time(run) <= now)
    return {series for series, count in due.items() if series is not None and count > 1}


def _due(series: Series, now: datetime) -> dict[str, object]:
    names = FlowRunFilterStateName(any_=["Scheduled", "Late"])
    return {
        "deployment_filter": DeploymentFilter(id=DeploymentFilterId(any_=[series[0]])),
        "flow_run_filter": FlowRunFilter(
            state=FlowRunFilterState(name=names),
            next_scheduled_start_time=FlowRunFilterNextScheduledStartTime(before_=now),
        ),
    }


async def find_newest(client: PrefectClient, series: Series, now: datetime) -> FlowRun | None:
    """The run of the series that was due last, wherever it stands in the server's queue."""
    offset = 0
    while True:
        page = await client.read_flow_runs(
            **_due(series, now),  # type: ignore[arg-type]
            sort=FlowRunSort.EXPECTED_START_TIME_DESC,
            limit=PAGE,
            offset=offset,
        )
        for run in page:
            if series_of(run) == series:
                return run
        if len(page) < PAGE:
            return None
        offset += PAGE


async def skip_older(client: PrefectClient, series: Series, kept: FlowRun) -> int:
    """Cancel every run of the series due before `kept`; returns how many.

    Their state reads "Skipped". Reads pages of 200 and writes groups of 50, so a day without a
    worker (2,880 runs at one every 30 seconds) costs about 75 requests.
    """
    found = []
    offset = 0
    while True:
        page = await client.read_flow_runs(
            **_due(series, due_time(kept)),  # type: ignore[arg-type]
            sort=FlowRunSort.NEXT_SCHEDULED_START_TIME_ASC,
            limit=PAGE,
            offset=offset,
        )
        found += [run.id for run in page if series_of(run) == series and run.id != kept.id]
        if len(page) < PAGE:
            break
        offset += PAGE
    for start in range(0, len(found), BULK):
        await _skip(client, found[start : start + BULK], due_time(kept))
    return len(found)


async def _skip(client: PrefectClient, ids: Sequence[UUID], covered_by: datetime) -> None:
    message = f"covered by the run due at {covered_by.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
    state = {"type": StateType.CANCELLED.value, "name": "Skipped", "message": message}
    response = await client._client.post(
        "/flow_runs/bulk_set_state",
        json={"flow_runs": {"id": {"any_": [str(run) for run in ids]}}, "state": state},
    )
    response.raise_for_status()


async def find_cancelling(client: PrefectClient, ids: list[UUID]) -> list[FlowRun]:
    """Those of the runs that a person has cancelled and that have not ended."""
    if not ids:
        return []
    cancelling = FlowRunFilterStateType(any_=[StateType.CANCELLING])
    found: list[FlowRun] = await client.read_flow_runs(
        flow_run_filter=FlowRunFilter(
            id=FlowRunFilterId(any_=ids), state=FlowRunFilterState(type=cancelling)
        )
    )
    return found


async def find_orphans(client: PrefectClient, pool: str, now: datetime) -> list[FlowRun]:
    """Unfinished runs of the pool whose process was on this host and is gone.

    A run that was handed to a worker and got no process within two minutes counts as well: it
    holds its deployment's only slot, and nobody will free it.
    """
    types = [StateType.PENDING, StateType.RUNNING, StateType.CANCELLING]
    orphans: list[FlowRun] = []
    offset = 0
    while True:
        page = await client.read_flow_runs(
            work_pool_filter=WorkPoolFilter(name=WorkPoolFilterName(any_=[pool])),
            flow_run_filter=FlowRunFilter(
                state=FlowRunFilterState(type=FlowRunFilterStateType(any_=types))
            ),
            limit=PAGE,
            offset=offset,
        )
        orphans += [run for run in page if _is_orphan(run, now)]
        if len(page) < PAGE:
            return orphans
        offset += PAGE


def _is_orphan(run: FlowRun, now: datetime) -> bool:
    if run.infrastructure_pid is not None:
        return is_dead_here(run.infrastructure_pid)
    if run.state is None or run.state.type is StateType.RUNNING:
        return False
    return bool(now - run.state.timestamp > SUBMISSION_LIMIT)
