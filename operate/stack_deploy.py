"""Creates the work pool and the deployments of prefect.yaml: `python -m operate.stack_deploy`.

`prefect deploy --all` does the same and imports every flow with all that it needs, which takes
many times as long; this reads the flows' signatures without importing them.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from pathlib import Path
from typing import Any
from uuid import UUID

import yaml

from operate.worker import configure
from operate.worker_child import SET_DIRECTORY
from settings import CHECKOUT, get_settings

WAIT_SECONDS = 120.0


def read_deployments(file: Path) -> list[dict[str, Any]]:
    """The deployments of a prefect.yaml file, as they are written there."""
    document: dict[str, Any] = yaml.safe_load(file.read_text())
    entries: list[dict[str, Any]] = document["deployments"]
    return entries


async def deploy(file: Path) -> list[str]:
    """Wait for the server, then create or update pools and deployments; returns their names."""
    from prefect.client.orchestration import get_client

    entries = read_deployments(file)
    async with get_client() as client:
        await _wait_for_server(client)
        for pool in {str(entry["work_pool"]["name"]) for entry in entries}:
            await _ensure_pool(client, pool)
        # One after the other: at once, they meet SQLite's write lock and wait seconds to try again.
        for entry in entries:
            await _deploy_one(client, file.parent, entry)
    return [str(entry["name"]) for entry in entries]


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
    from prefect.utilities.callables import parameter_schema_from_entrypoint

    entrypoint = str(entry["entrypoint"])
    source, _, function = entrypoint.rpartition(":")
    limit = entry.get("concurrency_limit") or {}
    strategy = limit.get("collision_strategy")
    schema = parameter_schema_from_entrypoint(f"{folder / source}:{function}")
    step = {SET_DIRECTORY: {"directory": str(folder)}}
    created: UUID = await client.create_deployment(
        flow_id=await client.create_flow_from_name(_flow_name(folder, entrypoint)),
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


def _flow_name(folder: Path, entrypoint: str) -> str:
    from prefect.flows import load_flow_arguments_from_entrypoint

    arguments = load_flow_arguments_from_entrypoint(str(folder / entrypoint), {"name"})
    return str(arguments.get("name") or entrypoint.rpartition(":")[2].replace("_", "-"))


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
