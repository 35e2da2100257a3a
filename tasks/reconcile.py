"""Reconcile: finish or undo what a run that was killed left half done."""

from __future__ import annotations

from loguru import logger

from learning import alert_text
from storage import models, releases
from storage.bundles import BundleError, read_bundle
from storage.database import reading
from storage.pointers import Former, read_pointer
from storage.tables import runs
from tasks.release import take_back, wait_for_servers
from tasks.run import Run
from tasks.step import step


@step("reconcile", retries=True)
def reconcile(run: Run) -> int:
    """Bring tables, pointer and servers to one story; returns how many things were mended."""
    mended = import_acts(run)
    with reading(run.engine) as connection:
        dead = [
            row.run_id
            for row in connection.execute(
                runs.select().where(runs.c.problem == run.name, runs.c.state == "abandoned")
            )
        ]
        pending = releases.pending_releases(connection, run.name)
    for row in pending:
        _finish(run, row.generation, row.version, row.bundle, row.actor, row.reason)
        mended += 1
    with run.commit() as connection:
        models.close_unfinished(connection, run.name, dead)
    return mended


def _finish(run: Run, generation: int, version: int, bundle: str, actor: str, reason: str) -> None:
    """A release that was begun: move the pointer if that did not happen yet, then close it."""
    pointer = read_pointer(run.store, run.name)
    if pointer is not None and pointer.generation > generation:
        with run.commit() as connection:
            releases.finish_release(connection, run.name, generation, "refused")
        return
    if pointer is None or pointer.generation < generation:
        try:
            read_bundle(run.store, run.name, bundle)
        except BundleError as error:
            logger.warning("{}: release {} cannot go on: {}", run.name, generation, error)
            with run.commit() as connection:
                releases.finish_release(connection, run.name, generation, "refused")
            return
        target = Former(str(version), bundle)
        releases.point(run.store, run.name, generation, target, "promoted", actor, reason)
    refusal = wait_for_servers(run, generation)
    if refusal is not None:
        take_back(run, version, generation, refusal)
        return
    with run.commit() as connection:
        releases.finish_release(connection, run.name, generation, "promoted")
        models.crown(connection, run.name, version)


def import_acts(run: Run) -> int:
    """Take over rollbacks that a person made while the database was down."""
    with run.commit() as connection:
        acts = releases.import_acts(connection, run.store, run.name)
        if not acts:
            return 0
        before = models.champion(connection, run.name)
        newest = acts[-1]
        models.crown(connection, run.name, int(newest.version))
        run.alert(
            connection,
            alert_text.rolled_back(
                str(before.version) if before is not None else "?",
                newest.version,
                newest.actor,
                newest.reason,
            ),
            str(newest.generation),
        )
    return len(acts)
