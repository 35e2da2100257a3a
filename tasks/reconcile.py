"""Reconcile: finish or undo what a run that was killed left half done."""

from __future__ import annotations

import msgspec
from loguru import logger

from learning import alert_text
from storage import models, releases
from storage.bundles import BundleError, read_bundle
from storage.database import reading
from storage.pointers import Former, pointer_path, read_pointer
from tasks.release import carry_out, point_back
from tasks.rollout import settle_rollout
from tasks.run import Run
from tasks.step import step


@step("reconcile", retries=True)
def reconcile(run: Run) -> int:
    """Bring tables, pointer and servers to one story; returns how many things were mended."""
    mended = _set_damaged_pointer_aside(run)
    mended += import_acts(run)
    with reading(run.engine) as connection:
        pending = releases.pending_releases(connection, run.name)
    for row in pending:
        _finish(run, row.generation, row.version, row.bundle, row.actor, row.reason)
        mended += 1
    mended += _settle_pointer(run)
    mended += settle_rollout(run)
    with run.commit() as connection:
        closed = models.close_unfinished(connection, run.name, run.run_id)
    for version in closed:
        logger.warning("{}: version {} was left unfinished and is given up", run.name, version)
    return mended + len(closed)


def _set_damaged_pointer_aside(run: Run) -> int:
    """1 when the pointer's file was no pointer: it is written again from the tables."""
    try:
        read_pointer(run.store, run.name)
    except msgspec.MsgspecError as error:
        path = pointer_path(run.store, run.name)
        path.replace(path.with_suffix(".damaged"))
        logger.error("{}: the pointer's file cannot be read: {}", run.name, error)
        return 1
    return 0


def _finish(run: Run, generation: int, version: int, bundle: str, actor: str, reason: str) -> None:
    """A release that was begun: carry it out, or close it when its bundle is no good."""
    try:
        read_bundle(run.store, run.name, bundle)
    except BundleError as error:
        logger.warning("{}: release {} cannot go on: {}", run.name, generation, error)
        with run.commit() as connection:
            releases.finish_release(connection, run.name, generation, "refused")
        return
    carry_out(run, generation, version, bundle, actor, reason)


def _settle_pointer(run: Run) -> int:
    """Make the pointer name the newest release that was carried out; 1 when it had to move."""
    with reading(run.engine) as connection:
        good = releases.newest_served(connection, run.name)
        served = (
            [] if good is None else releases.served_before(connection, run.name, good.generation)
        )
    pointer = read_pointer(run.store, run.name)
    if good is None or (pointer is not None and pointer.bundle == good.bundle):
        return 0
    try:
        read_bundle(run.store, run.name, good.bundle)
    except BundleError as error:
        logger.error("{}: version {} should be served, but {}", run.name, good.version, error)
        return 0
    if pointer is None or pointer.generation < good.generation:
        target = Former(str(good.version), good.bundle)
        releases.point(
            run.store,
            run.name,
            good.generation,
            target,
            good.state,
            good.actor,
            good.reason,
            served,
        )
    else:
        reason = f"generation {pointer.generation} was never carried out"
        point_back(run, good, pointer.generation, reason)
    return 1


def import_acts(run: Run) -> int:
    """Take over rollbacks that a person made while the database was down."""
    with run.commit() as connection:
        acts = releases.import_acts(connection, run.store, run.name)
        newest = releases.newest_served(connection, run.name)
        if not acts or newest is None:
            return len(acts)
        before = models.champion(connection, run.name)
        models.crown(connection, run.name, newest.version)
        if before is None or before.version != newest.version:
            run.alert(
                connection,
                alert_text.rolled_back(
                    str(before.version) if before is not None else "?",
                    str(newest.version),
                    newest.actor,
                    newest.reason,
                ),
                str(newest.generation),
            )
    return len(acts)
