"""Take a candidate away: it failed, another release came first, or nobody knows it any more."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Row

from learning import alert_rollout
from learning.alert import Alert
from storage import models, releases, rollouts
from storage.candidates import Candidate
from storage.kill_points import reach
from storage.pointers import Former, Pointer, read_pointer
from tasks.artifacts import show_rollout
from tasks.release import Released, wait_for_servers
from tasks.run import Run

BEFORE = rollouts.BEFORE_PROMOTION


def withdraw(run: Run, stage: Row[Any], reason: str) -> Released:
    """Take a candidate away that failed: the champion answers everybody again."""
    pointer = read_pointer(run.store, run.name)
    with run.commit() as connection:
        generation = _end_failed(connection, run, stage, reason, pointer)
        history = rollouts.history(connection, run.name, 20)
    reach("rollout.failed")
    _take_away(run, generation, Former(str(stage.version), stage.bundle), reason)
    show_rollout(run, history)
    return Released(generation, "refused", reason)


def lose(run: Run, stage: Row[Any], pointer: Pointer | None) -> Released:
    """Write down that another release took the candidate away."""
    moved = "the pointer is gone"
    if pointer is not None:
        moved = f"{pointer.actor} serves version {pointer.version} since: {pointer.reason}"
    reason = f"{stage.stage} ended: {moved}"
    with run.commit() as connection:
        _close_staging(connection, run, stage)
        rollouts.end_stages(connection, run.name, BEFORE, "ended", reason, run.now)
        models.update_version(connection, run.name, stage.version, state="refused", reason=reason)
        alert = _failed(stage, reason)
        run.alert(connection, alert, str(stage.generation))
    return Released(stage.generation, "refused", reason)


def take_away_orphan(run: Run, pointer: Pointer, left: Candidate) -> None:
    """Take away a candidate whose stage has ended."""
    reason = "its stage had ended, but the run that ended it died"
    about = Former(left.version, left.bundle)
    with run.commit() as connection:
        generation = _enter_withdrawal(connection, run, about, reason, pointer.generation)
    _take_away(run, generation, about, reason)


def _end_failed(
    connection: Connection, run: Run, stage: Row[Any], reason: str, pointer: Pointer | None
) -> int:
    _close_staging(connection, run, stage)
    rollouts.end_stages(connection, run.name, BEFORE, "failed", reason, run.now)
    models.update_version(connection, run.name, stage.version, state="refused", reason=reason)
    alert = _failed(stage, reason)
    run.alert(connection, alert, str(stage.generation))
    about = Former(str(stage.version), stage.bundle)
    at_least = 0 if pointer is None else pointer.generation
    return _enter_withdrawal(connection, run, about, reason, at_least)


def _close_staging(connection: Connection, run: Run, stage: Row[Any]) -> None:
    act = releases.find_release(connection, run.name, stage.generation)
    if act is not None and act.state == "staging":
        releases.finish_release(connection, run.name, stage.generation, "refused")


def _enter_withdrawal(
    connection: Connection, run: Run, about: Former, reason: str, at_least: int
) -> int:
    generation = releases.begin_release(
        connection, run.name, int(about.version), about.bundle, "canary", reason, run.now, at_least,
        "withdrawing",
    )  # fmt: skip
    releases.finish_release(connection, run.name, generation, "withdrawn")
    return generation


def _take_away(run: Run, generation: int, about: Former, reason: str) -> None:
    pointer = read_pointer(run.store, run.name)
    if pointer is None or pointer.candidate is None or pointer.generation >= generation:
        return
    served = Former(pointer.version, pointer.bundle)
    releases.point(
        run.store, run.name, generation, served, "withdrawn", "canary", reason, about=about
    )
    reach("rollout.candidate_withdrawn")
    wait_for_servers(run, generation)


def _failed(stage: Row[Any], reason: str) -> Alert:
    return alert_rollout.stage_failed(stage.stage, str(stage.version), str(stage.against), reason)
