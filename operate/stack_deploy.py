"""Creates the work pool and the deployments of prefect.yaml: `python -m operate.stack_deploy`.

`prefect deploy --all` does the same and imports every flow with all that it needs, which takes
many times as long; this reads the flows' signatures without importing them.
"""

from __future__ import annotations

import ast
import asyncio
import contextlib
import inspect
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import yaml

from learning.turns import LOOP, USUAL, shortest
from operate.stack_automations import ensure_automations
from operate.worker import configure
from operate.worker_child import SET_DIRECTORY
from settings import CHECKOUT, Settings, get_settings
from storage.problems import every_of, problem_folders

WAIT_SECONDS = 120.0
# Imported, beside the standard library, for the types of parameters.
LIGHT = frozenset({"pydantic", "flows.parameters"})


def read_deployments(file: Path) -> list[dict[str, Any]]:
    """The deployments of a prefect.yaml file, as they are written there."""
    document: dict[str, Any] = yaml.safe_load(file.read_text())
    entries: list[dict[str, Any]] = document["deployments"]
    return entries


def read_flow(file: Path, function: str) -> tuple[str, Callable[..., None] | None]:
    """The flow's name, and an empty function with its signature and docstring.

    Only what the file imports from the standard library, pydantic and `flows.parameters` is
    imported. The function is None when its
    signature needs more than that; Prefect then finds it out by importing the rest.
    """
    tree = ast.parse(file.read_text())
    found = next(
        node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == function
    )
    calls = [each for each in found.decorator_list if isinstance(each, ast.Call)]
    named = [word.value for call in calls for word in call.keywords if word.arg == "name"]
    name = str(ast.literal_eval(named[0])) if named else function.replace("_", "-")
    found.decorator_list = []
    found.body = [ast.Expr(ast.Constant(ast.get_docstring(found) or ""))]
    module = ast.Module([*filter(_is_light_import, tree.body), found], [])
    namespace: dict[str, Any] = {}
    try:
        code = compile(ast.fix_missing_locations(module), str(file), "exec", dont_inherit=True)
        exec(code, namespace)  # noqa: S102  # standard imports and an empty function of our own
        inspect.signature(namespace[function], eval_str=True)
    except NameError:
        return name, None
    return name, namespace[function]


def _is_light_import(node: ast.stmt) -> bool:
    if isinstance(node, ast.Import):
        modules = [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom):
        modules = [node.module or ""]
    else:
        return False
    return all(
        module in LIGHT or module.partition(".")[0] in sys.stdlib_module_names for module in modules
    )


async def deploy(file: Path) -> list[str]:
    """Wait for the server, then create or update pools and deployments; returns their names."""
    from prefect.client.orchestration import get_client

    entries = [as_often_as_asked(entry, get_settings()) for entry in read_deployments(file)]
    async with get_client() as client:
        await _wait_for_server(client)
        for pool in {str(entry["work_pool"]["name"]) for entry in entries}:
            await _ensure_pool(client, pool)
        # One after the other: at once, they meet SQLite's write lock and wait seconds to try again.
        made = {
            str(entry["name"]): await _deploy_one(client, file.parent, entry) for entry in entries
        }
        await ensure_automations(client, made)
    return [str(entry["name"]) for entry in entries]


def as_often_as_asked(entry: dict[str, Any], settings: Settings) -> dict[str, Any]:
    """The loop's deployment with a schedule that comes as often as a problem file asks for."""
    if entry["name"] != LOOP:
        return entry
    folders = problem_folders(settings)
    seconds = shortest(every_of(name, folders) for name in settings.active).total_seconds()
    usual = USUAL.total_seconds()
    if seconds == usual:
        return entry
    changed = {"interval": seconds, "slug": f"every-{seconds:.0f}-seconds"}
    schedules = [
        {**one, **changed} if one.get("interval") == usual else one
        for one in entry.get("schedules") or ()
    ]
    return {**entry, "schedules": schedules}


async def _wait_for_server(client: Any) -> None:
    async with asyncio.timeout(WAIT_SECONDS):
        while await client.api_healthcheck() is not None:
            await asyncio.sleep(0.2)


async def _ensure_pool(client: Any, name: str) -> None:
    from prefect.client.schemas.actions import WorkPoolCreate
    from prefect.exceptions import ObjectAlreadyExists
    from prefect.workers.process import ProcessWorker

    template = ProcessWorker.get_default_base_job_template()
    pool = WorkPoolCreate(name=name, type="process", base_job_template=template)
    with contextlib.suppress(ObjectAlreadyExists):
        await client.create_work_pool(pool)


async def _deploy_one(client: Any, folder: Path, entry: dict[str, Any]) -> UUID:
    from prefect.client.schemas.objects import ConcurrencyOptions
    from prefect.utilities.callables import parameter_schema, parameter_schema_from_entrypoint

    entrypoint = str(entry["entrypoint"])
    source, _, function = entrypoint.rpartition(":")
    limit = entry.get("concurrency_limit") or {}
    strategy = limit.get("collision_strategy")
    flow_name, stub = read_flow(folder / source, function)
    if stub is not None:
        schema = parameter_schema(stub)
    else:
        schema = parameter_schema_from_entrypoint(f"{folder / source}:{function}")
    step = {SET_DIRECTORY: {"directory": str(folder)}}
    created: UUID = await client.create_deployment(
        flow_id=await client.create_flow_from_name(flow_name),
        name=entry["name"],
        description=entry.get("description") or "",
        tags=entry.get("tags"),
        parameters=entry.get("parameters") or {},
        entrypoint=entrypoint,
        pull_steps=[step],
        path=".",
        work_pool_name=entry["work_pool"]["name"],
        schedules=[_schedule(item) for item in entry.get("schedules") or []],
        concurrency_limit=limit.get("limit"),
        concurrency_options=ConcurrencyOptions(collision_strategy=strategy) if strategy else None,
        parameter_openapi_schema=schema.model_dump(exclude_unset=True),
        enforce_parameter_schema=True,
        paused=False,
    )
    return created


def _schedule(item: dict[str, Any]) -> Any:
    from prefect.client.schemas.actions import DeploymentScheduleCreate
    from prefect.client.schemas.schedules import construct_schedule

    schedule = construct_schedule(
        interval=item.get("interval"), cron=item.get("cron"), timezone=item.get("timezone")
    )
    return DeploymentScheduleCreate(
        schedule=schedule,
        active=item.get("active", True),
        slug=item.get("slug"),
        parameters=item.get("parameters") or {},
    )


def main(arguments: list[str]) -> int:
    """Deploy the file named on the command line, or this checkout's prefect.yaml."""
    configure(get_settings())
    file = Path(arguments[0]).resolve() if arguments else CHECKOUT / "prefect.yaml"
    names = asyncio.run(deploy(file))
    sys.stdout.write(f"deployed {', '.join(names)} to {os.environ['PREFECT_API_URL']}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
