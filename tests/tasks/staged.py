"""A version in the stages of its rollout: homes, looks at it, and what is asserted of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from settings import Settings
from storage.pointers import Pointer, read_pointer
from storage.tables import alerts, models, releases, rollouts
from tasks.reconcile import reconcile
from tasks.rollout_watch import watch_rollout
from tests.factories import rows_of, serve_rows, small_rows, small_run, small_settings

POLICY: dict[str, Any] = {
    "shadow": "60 rows",
    "canary": "30 rows",
    "canary_share": 0.5,
    "probation": "200 rows",
    "confidence": 0.99,
}


def quiet(home: Path, **rules: Any) -> Settings:
    """Settings of a home whose loop trains nothing by itself."""
    retrain = {"on_drift": False, "on_performance": False, "volume_rows": None}
    return small_settings(home, rollout={**POLICY, **rules}, retrain=retrain)


def watch(settings: Settings, row: int) -> dict[str, Any]:
    """One look at the rollout when row number ``row`` has just happened."""
    with small_run(settings, row, "monitor") as run:
        reconcile(run)
        return watch_rollout(run) or {}


def pointer_of(settings: Settings) -> Pointer:
    pointer = read_pointer(settings.store, "small")
    assert pointer is not None
    return pointer


def story(settings: Settings) -> list[tuple[str, int, str]]:
    return [(row.stage, row.version, row.state) for row in rows_of(settings, rollouts)]


def acts(settings: Settings) -> list[tuple[int, int, str]]:
    return [(row.generation, row.version, row.state) for row in rows_of(settings, releases)]


def states(settings: Settings) -> list[str]:
    return [row.state for row in rows_of(settings, models)]


def told(settings: Settings) -> list[str]:
    words = ("shadow", "canary", "probation", "promoted", "rolled")
    return [row.kind for row in rows_of(settings, alerts) if row.kind.startswith(words)]


def promoted(settings: Settings) -> None:
    """Let version 2 pass shadow and canary on rows of the turned world."""
    serve_rows(settings, small_rows(750, 80, turned=True), "1")
    watch(settings, 830)
    serve_rows(settings, small_rows(830, 40, turned=True), "2")
    watch(settings, 870)
    assert pointer_of(settings).version == "2"
