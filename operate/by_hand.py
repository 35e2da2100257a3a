"""Flows and rollbacks by hand, without a Prefect server."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from loguru import logger
from rich.console import Console

from operate.terminal import user_name
from settings import Settings
from storage.kill_points import arm
from storage.pointers import pointer_path
from storage.problems import load_problem, problem_folders
from tasks.rollback import roll_back
from tasks.run import loop_run


def run_flow(
    settings: Settings,
    flow: str,
    problem: str | None,
    reason: str,
    version: int | None,
    now: datetime | None,
) -> dict[str, Any]:
    """Run one flow's function directly; the same code that Prefect runs."""
    from importlib import import_module

    for name in (problem,) if problem else settings.active:
        load_problem(name, problem_folders(settings))
    arguments: dict[str, Any] = {"problem": problem, "now": now}
    if reason and flow in ("retrain", "publish"):
        arguments["reason"] = reason
    if flow == "publish":
        arguments["version"] = version
    function = getattr(import_module(f"flows.{flow}"), flow)
    result: dict[str, Any] = function.fn(**arguments)
    return result


def show_result(flow: str, result: dict[str, Any], console: Console) -> None:
    """A flow's result, one line per fact."""
    for problem, facts in result.items():
        console.print(f"[bold]{problem}[/bold] {flow}")
        _show(facts, console, "  ")


def _show(facts: dict[str, Any], console: Console, indent: str) -> None:
    for name, value in facts.items():
        if isinstance(value, dict) and value:
            console.print(f"{indent}{name}:", markup=False)
            _show(value, console, indent + "  ")
        elif value not in ({}, [], None):
            console.print(f"{indent}{name}: {value}", markup=False)


def roll_back_now(
    settings: Settings, problem: str | None, to: int | None, reason: str
) -> dict[str, Any]:
    """Move the pointer first, then tell the database, which may be down."""
    if settings.kill_at is not None:
        arm(settings.kill_at)
    name = problem or settings.active[0]
    if not pointer_path(settings.store, name).exists():
        load_problem(name, problem_folders(settings))  # a name that is not known is told as such
    actor = f"{user_name()} by hand"
    pointer = roll_back(settings.store, name, to, actor, reason)
    message = f"{name}: version {pointer.version} is served (generation {pointer.generation})"
    is_recorded = _record(settings, name)
    if not is_recorded:
        message += "; the ledger takes it over at the loop's next run"
    return {
        "problem": name,
        "version": pointer.version,
        "generation": pointer.generation,
        "recorded": is_recorded,
        "message": message,
    }


def _record(settings: Settings, name: str) -> bool:
    from tasks.reconcile import import_acts

    try:
        with loop_run(name, "publish", settings=settings) as run:
            import_acts(run)
    except Exception as error:  # the servers follow already; the ledger can wait
        logger.info("{}: not written down yet: {}", name, type(error).__name__)
        return False
    return True
