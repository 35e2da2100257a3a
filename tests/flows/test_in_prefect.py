"""The flows as Prefect runs them: task runs, artifacts and retries."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterFlowRunId,
    FlowRunFilter,
    FlowRunFilterId,
)
from prefect.client.schemas.objects import FlowRun
from prefect.events.worker import EventsWorker
from prefect.states import Crashed, Failed
from sqlalchemy.exc import OperationalError

from flows.continual import continual
from flows.ingest import ingest
from flows.loop_flow import tell
from flows.monitor import monitor
from flows.replay import replay
from flows.retrain import retrain
from settings import Settings
from storage.problems import ProblemError
from storage.tables import alerts, runs
from tasks.ingest_named import FileRefusedError
from tasks.run import BusyError, loop_run
from tasks.step import step
from tests.api.servers import wait_until
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


def artifacts_of(flow_run_id: UUID) -> dict[str, str]:
    """The artifacts that a flow run left, by key."""
    chosen = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[flow_run_id]))
    with get_client(sync_client=True) as client:
        found = client.read_artifacts(artifact_filter=chosen)
    return {str(artifact.key): str(artifact.data) for artifact in found}


def name_of(flow_run_id: UUID) -> str:
    """What a flow run is called by now."""
    with get_client(sync_client=True) as client:
        return str(client.read_flow_run(flow_run_id).name)


def events_about(problem: str) -> dict[str, Any]:
    """The events that were announced about a problem, by name."""
    EventsWorker.instance().drain()
    resource = {"id": [f"perennial.problem.{problem}"]}
    with get_client(sync_client=True) as client:
        for _ in range(100):
            answer = client._client.post("/events/filter", json={"filter": {"resource": resource}})
            found = {event["event"]: event for event in answer.json()["events"]}
            if "perennial.drift.opened" in found:
                break
            threading.Event().wait(0.1)  # the server stores them in groups
    return found


def test_a_turn_of_the_loop_leaves_its_steps_and_what_a_person_reads(home: Settings) -> None:
    drop(home, small_rows(0, 400), "history.parquet")
    first = continual("small", START + timedelta(minutes=400))
    assert first["small"]["challenger"]["outcome"] == "promoted"
    flow_run_id = flow_run_of(home)
    left = artifacts_of(flow_run_id)
    assert {"small-decision", "small-gate", "small-champions", "small-overview"} <= left.keys()
    assert left["small-overview"].startswith("## Version 1 is served")
    assert name_of(flow_run_id) == "continual small · 400 rows, version 1 promoted"
    wanted = {
        "reconcile",
        "ingest the inbox",
        "decide whether to retrain",
        "train a challenger",
        "gate: champion against challenger",
        "promote",
        "deliver alerts",
    }
    # The server writes down what tasks tell it in its own time.
    wait_until(lambda: wanted <= set(task_names(flow_run_id)), every=0.2)
    serve_rows(home, small_rows(400, 120, turned=True), "1", labels=False)
    monitor("small", START + timedelta(minutes=520))
    flow_run_id = flow_run_of(home)
    assert name_of(flow_run_id) == "monitor small · 1 of 3 features drifted"
    left = artifacts_of(flow_run_id)
    assert {"small-drift", "small-performance", "small-drift-report"} <= left.keys()
    assert "| Air temperature [K] | KS |" in left["small-drift"]
    assert "perennial.model.promoted" in events_about("small")
    opened = events_about("small")["perennial.drift.opened"]
    assert opened["payload"]["title"].startswith("Data drift")
    assert f"prefect.flow-run.{flow_run_id}" in str(opened["related"])


def test_labels_bring_a_plot_and_a_refused_challenger_its_reasons(home: Settings) -> None:
    drop(home, small_rows(0, 400), "history.parquet")
    continual("small", START + timedelta(minutes=400))
    serve_rows(home, small_rows(400, 120), "1", labels=True)
    ingest("small", now=START + timedelta(minutes=520))
    monitor("small", START + timedelta(minutes=520))
    plot = artifacts_of(flow_run_of(home))["small-performance-plot"]
    assert plot.startswith("![Live roc_auc 0.")
    assert base64.b64decode(plot.partition("base64,")[2].rstrip(")"))[:4] == b"\x89PNG"
    found = retrain("small", "I want to see", START + timedelta(minutes=521))["small"]
    overview = artifacts_of(flow_run_of(home))["small-overview"]
    assert "I want to see" in overview
    if found["outcome"] == "refused":
        assert "## Why version 2 is not served" in overview
        assert "ONNX differs by" in overview


def test_a_replay_is_named_after_the_best_policy_and_leaves_its_table(home: Settings) -> None:
    drop(home, small_rows(0, 500), "history.parquet")
    ingest("small", now=START + timedelta(minutes=500))
    state = replay("small", policies=["never", "every:200"], return_state=True)
    found = state.result()["small"]
    assert set(found["policies"]) == {"never", "every:200", "no_change", "majority"}
    flow_run_id = state.state_details.flow_run_id
    assert flow_run_id is not None
    assert name_of(flow_run_id) == f"replay small · {found['best']} did best, over 500 rows"
    assert "| every:200 |" in artifacts_of(flow_run_id)["small-replay"]
    kept = json.loads((home.home / "replay" / "small" / "report.json").read_text())
    assert kept["recommendation"] == found["recommendation"]
    assert kept["policies"]["never"]["curve"]
    with pytest.raises(ProblemError, match="found no problem 'smal'"):
        replay("smal")


def test_a_person_takes_one_file_and_reads_why_another_was_refused(home: Settings) -> None:
    path = drop(home, small_rows(0, 30), "first.csv")
    drop(home, small_rows(30, 30), "second.csv")
    found = ingest("small", file="first.csv")["small"]
    assert found["file"] == {"rows": 30, "quarantined": 0}
    assert name_of(flow_run_of(home)) == "ingest small · 30 rows"
    assert [one.name for one in path.parent.glob("*.csv")] == ["second.csv"]
    with pytest.raises(FileRefusedError, match="leads out of the folders"):
        ingest("small", file="/etc/passwd")
    (path.parent / "third.csv").write_text("a,b\n1,2\n")
    with pytest.raises(FileRefusedError, match=r"third\.csv"):
        ingest("small", file="third.csv")
    flow_run_id = flow_run_of(home)
    assert name_of(flow_run_id) == "ingest small · failed"


def test_who_started_a_run_waits_for_the_one_at_work(
    home: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flows.each.PATIENCE_SECONDS", 0.0)
    with (
        loop_run("small", "continual", settings=home),
        pytest.raises(BusyError, match="another run is at work"),
    ):
        monitor("small")
    kinds = {row.kind for row in rows_of(home, alerts)}
    assert "failed" not in kinds  # a person was looking
    holding = loop_run("small", "continual", settings=home)
    holding.__enter__()
    monkeypatch.setattr("flows.each.PATIENCE_SECONDS", 60.0)
    monkeypatch.setattr("flows.each.time.sleep", lambda _s: holding.__exit__(None, None, None))
    assert monitor("small")["small"]["drift"] == "no champion yet"


def test_a_scheduled_run_that_cannot_begin_is_an_incident(home: Settings) -> None:
    flow_run = FlowRun(flow_id=uuid4(), auto_scheduled=True, parameters={"problem": None}, name="x")
    tell(continual, flow_run, Crashed(message="Flow run process exited with status code -9."))
    tell(continual, flow_run.model_copy(update={"auto_scheduled": False}), Failed(message="typo"))
    (alert,) = rows_of(home, alerts)
    assert alert.title == "continual failed"


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
