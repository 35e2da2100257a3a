"""prefect.yaml lists what the contract promises, and what it points at exists."""

from __future__ import annotations

import ast

import pytest

from operate.stack_deploy import read_deployments
from operate.worker import POOL
from settings import CHECKOUT

DEPLOYMENTS = {entry["name"]: entry for entry in read_deployments(CHECKOUT / "prefect.yaml")}


def test_the_loop_is_deployed_with_its_steps() -> None:
    assert list(DEPLOYMENTS) == [
        *("ingest", "monitor", "retrain", "continual", "maintain", "publish", "replay"),
    ]


def test_only_the_loop_and_the_care_are_scheduled() -> None:
    schedules = {
        name: entry["schedules"] for name, entry in DEPLOYMENTS.items() if "schedules" in entry
    }
    assert schedules == {
        "continual": [{"interval": 30, "slug": "every-30-seconds"}],
        "maintain": [{"cron": "17 3 * * *", "timezone": "UTC", "slug": "daily"}],
    }


@pytest.mark.parametrize("name", DEPLOYMENTS)
def test_runs_of_one_deployment_never_overlap(name: str) -> None:
    entry = DEPLOYMENTS[name]
    assert entry["concurrency_limit"] == {"limit": 1, "collision_strategy": "CANCEL_NEW"}
    assert entry["work_pool"] == {"name": POOL}
    assert entry["description"]
    assert "perennial" in entry["tags"]


@pytest.mark.parametrize("name", DEPLOYMENTS)
def test_each_entrypoint_is_a_flow_that_takes_a_problem(name: str) -> None:
    file, _, function = DEPLOYMENTS[name]["entrypoint"].partition(":")
    assert (file, function) == (f"flows/{name}.py", name)
    body = ast.parse((CHECKOUT / file).read_text()).body
    found = next(
        node for node in body if isinstance(node, ast.FunctionDef) and node.name == function
    )
    assert found.args.args[0].arg == "problem"
    # Which gives it a timeout, a readable name and the hooks that tell of its end.
    assert any("loop_flow(" in ast.unparse(decorator) for decorator in found.decorator_list)
