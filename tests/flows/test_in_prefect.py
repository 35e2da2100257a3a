"""The flows as Prefect runs them: task runs, artifacts and retries."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from uuid import UUID

import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterFlowRunId,
    FlowRunFilter,
    FlowRunFilterId,
)
from sqlalchemy.exc import OperationalError

from flows.continual import continual
from settings import Settings
from storage.tables import runs
from tasks.step import step
from tests.factories import START, drop, rows_of, serve_rows, small_rows

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("prefect_server")]


def flow_run_of(settings: Settings) -> UUID:
    """The Prefect id of the newest run of the loop."""
    newest = max(rows_of(settings, runs), key=lambda row: row.started_at)
    return UUID(newest.flow_run_id)


def task_names(flow_run_id: UUID) -> list[str]:
    """Task runs of a flow run, by name without their number."""
    chosen = FlowRunFilter(id=FlowRunFilterId(any_=[flow_run_id]))
    with get_client(sync_client=True) as client:
        found = client.read_task_runs(flow_run_filter=chosen)
    return [run.name.rpartition("-")[0] for run in found]


def artifact_keys(flow_run_id: UUID) -> set[str | None]:
    """Keys of the artifacts that a flow run left."""
    chosen = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[flow_run_id]))
    with get_client(sync_client=True) as client:
        return {artifact.key for artifact in client.read_artifacts(artifact_filter=chosen)}


def test_a_turn_of_the_loop_leaves_its_steps_and_what_a_person_reads(home: Settings) -> None:
    drop(home, small_rows(0, 400), "history.parquet")
    first = continual("small", START + timedelta(minutes=400))
    assert first["small"]["challenger"]["outcome"] == "promoted"
    flow_run_id = flow_run_of(home)
    assert {"small-decision", "small-gate", "small-champions"} <= artifact_keys(flow_run_id)
    assert {
        "reconcile",
        "ingest the inbox",
        "decide whether to retrain",
        "train a challenger",
        "gate: champion against challenger",
        "promote",
        "deliver alerts",
    } <= set(task_names(flow_run_id))
    serve_rows(home, small_rows(400, 120, turned=True), "1", labels=False)
    continual("small", START + timedelta(minutes=520))
    keys = artifact_keys(flow_run_of(home))
    assert {"small-drift", "small-performance", "small-drift-report"} <= keys


def counted(error: Exception, n_failures: int) -> tuple[list[int], Callable[[], int]]:
    """A step that fails so many times, and the list of its calls."""
    calls: list[int] = []

    @step("demo", retries=True)
    def work() -> int:
        calls.append(1)
        if len(calls) <= n_failures:
            raise error
        return len(calls)

    return calls, work


def test_prefect_tries_again_what_may_pass_by_itself() -> None:
    _, work = counted(OperationalError("SELECT", {}, Exception("database is locked")), 1)

    @flow(persist_result=False)
    def transient() -> int:
        return work()

    assert transient() == 2


def test_prefect_does_not_try_again_what_would_fail_the_same_way() -> None:
    calls, work = counted(ValueError("wrong"), 9)

    @flow(persist_result=False)
    def wrong() -> int:
        return work()

    with pytest.raises(ValueError, match="wrong"):
        wrong()
    assert len(calls) == 1
