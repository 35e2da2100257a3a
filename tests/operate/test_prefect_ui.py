"""What a person meets in Prefect: forms with help, and automations that act, on a real server."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from operate import stack_services as services
from operate.stack_deploy import read_deployments
from settings import CHECKOUT, Settings
from tests.operate.conftest import deploy_unscheduled, eventually, run_python

pytestmark = pytest.mark.slow
NAMES = [entry["name"] for entry in read_deployments(CHECKOUT / "prefect.yaml")]
SHORT_SILENCE = """
import asyncio
from operate.stack_automations import crash_silent_runs
from prefect.client.orchestration import get_client

async def create():
    automation = crash_silent_runs(10.0).model_copy(update={"name": "of a test"})
    async with get_client() as client:
        await client.create_automation(automation)

asyncio.run(create())
"""


@pytest.fixture(scope="module")
def http(server: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A client of the server, where the deployments of this checkout stand without schedules."""
    deploy_unscheduled(server, tmp_path_factory.mktemp("checkout"))
    with httpx.Client(base_url=services.prefect_api_url(server) + "/", timeout=20) as client:
        yield client


def post(http: httpx.Client, path: str, body: object) -> Any:
    answer = http.post(path, json=body).raise_for_status()
    return answer.json() if answer.content else None


def deployment(http: httpx.Client, name: str) -> dict[str, Any]:
    return dict(http.get(f"deployments/name/{name}/{name}").raise_for_status().json())


def automation(http: httpx.Client, name: str) -> dict[str, Any]:
    found = post(http, "automations/filter", {"automations": {"name": {"any_": [name]}}})
    assert len(found) == 1
    return dict(found[0])


def emit(http: httpx.Client, event: str, resource: str, seconds_ago: float = 0.0) -> None:
    moment = (datetime.now(UTC) - timedelta(seconds=seconds_ago)).isoformat()
    one = {"id": str(uuid4()), "occurred": moment, "event": event, "payload": {}, "related": []}
    post(http, "events", [{**one, "resource": {"prefect.resource.id": resource}}])


@pytest.mark.parametrize("name", NAMES)
def test_the_form_of_each_deployment_has_help_and_defaults(http: httpx.Client, name: str) -> None:
    found = deployment(http, name)
    assert len(found["description"]) > 40
    assert "perennial" in found["tags"]
    assert found["enforce_parameter_schema"] is True
    schema = found["parameter_openapi_schema"]
    assert not schema.get("required")
    for parameter, field in schema["properties"].items():
        assert "default" in field or parameter in found["parameters"], parameter
        assert len(field.get("description", "")) > 15, parameter
    assert found["parameters"].keys() <= schema["properties"].keys()


@pytest.mark.parametrize(
    ("name", "parameters", "complaint"),
    [
        ("publish", {"version": 0}, "version"),
        ("publish", {"version": "newest"}, "version"),
        ("ingest", {"file": ""}, "file"),
        ("retrain", {"reason": ""}, "reason"),
        ("monitor", {"problem": "Churn!"}, "problem"),
    ],
)
def test_what_a_form_does_not_take_is_refused_with_the_fields_name(
    http: httpx.Client, name: str, parameters: dict[str, Any], complaint: str
) -> None:
    path = f"deployments/{deployment(http, name)['id']}/create_flow_run"
    answer = http.post(path, json={"parameters": parameters})
    assert answer.status_code == 409
    assert complaint in answer.json()["detail"]


def test_a_rollback_holds_the_loop_once_a_person_switched_that_on(
    http: httpx.Client, server: Settings
) -> None:
    name = "Perennial: hold the loop after a rollback"
    assert automation(http, name)["enabled"] is False
    path = f"automations/{automation(http, name)['id']}"
    http.patch(path, json={"enabled": True}).raise_for_status()

    def is_held_after_another() -> bool:
        # The server takes a switch into use a moment after it has answered.
        emit(http, "perennial.rollback", "perennial.problem.churn")
        return bool(deployment(http, "continual")["paused"])

    eventually(is_held_after_another)
    # What a person switched stays so when everything is deployed again, the next start of all.
    run_python(server, "-c", "import asyncio; from operate import stack_automations as a; "
        "from prefect.client.orchestration import get_client\n"
        "async def again():\n"
        "    async with get_client() as client:\n"
        f"        await a.ensure_automations(client, {{'continual': "
        f"'{deployment(http, 'continual')['id']}'}})\n"
        "asyncio.run(again())")  # fmt: skip
    assert automation(http, name)["enabled"] is True


def test_a_run_that_falls_silent_is_marked_crashed(
    http: httpx.Client, server: Settings, tmp_path: Path
) -> None:
    assert automation(http, "Perennial: crash silent runs")["enabled"] is True
    path = f"deployments/{deployment(http, 'monitor')['id']}/create_flow_run"
    silent = post(http, path, {})["id"]
    post(http, f"flow_runs/{silent}/set_state", {"state": {"type": "RUNNING"}, "force": True})
    run_python(server, "-c", SHORT_SILENCE)
    emit(http, "prefect.flow-run.heartbeat", f"prefect.flow-run.{silent}", seconds_ago=8.0)

    def state() -> dict[str, Any]:
        return dict(http.get(f"flow_runs/{silent}").json()["state"])

    eventually(lambda: state()["type"] == "CRASHED")
    assert state()["message"].startswith("No sign of life for 10 seconds")
