"""What nobody needs any more: bundles that were never served, files behind old data versions."""

from __future__ import annotations

import time

import msgspec
from loguru import logger
from sqlalchemy import Connection, select

from storage import observations
from storage.bundles import bundle_folder, remove_bundle
from storage.database import reading
from storage.pointers import Pointer, read_pointer
from storage.releases import acts
from storage.tables import models, releases
from tasks.run import Run
from tasks.step import step

# A person may still choose a refused version by hand, and look at its rows, for so long.
KEPT_DAYS = 30
DAY = 86_400
ENDED = ("refused", "abandoned")


@step("collect bundles")
def collect_bundles(run: Run) -> int:
    """Remove bundles that no release, pointer or open version names, 30 days after they were made.

    What was ever served stays, and so does everything while the pointer cannot be read: the last
    good bundle is never removed. Returns how many were.
    """
    try:
        pointer = read_pointer(run.store, run.name)
    except msgspec.MsgspecError as error:
        logger.warning("{}: no bundle is collected: the pointer: {}", run.name, error)
        return 0
    with reading(run.engine) as connection:
        needed = _needed(run, connection, pointer)
    removed = 0
    for folder in (run.store / "bundles" / run.name).glob("[0-9a-f]*"):
        age = time.time() - folder.stat().st_mtime
        if folder.name not in needed and age > KEPT_DAYS * DAY:
            remove_bundle(folder)
            logger.info("{}: bundle {} was never served and is gone", run.name, folder.name[:12])
            removed += 1
    return removed


def _needed(run: Run, connection: Connection, pointer: Pointer | None) -> set[str]:
    released = select(releases.c.bundle).where(releases.c.problem == run.name)
    opened = select(models.c.bundle).where(
        models.c.problem == run.name,
        models.c.bundle.is_not(None),
        models.c.state.not_in(ENDED),
    )
    needed = set(connection.execute(released).scalars()) | set(connection.execute(opened).scalars())
    needed |= {act.bundle for act in acts(run.store, run.name)}
    if pointer is not None:
        needed |= {pointer.bundle, *(former.bundle for former in pointer.former)}
        if pointer.candidate is not None:
            needed.add(pointer.candidate.bundle)
    return needed


@step("remove old data files", retries=True)
def remove_old_data(run: Run) -> int:
    """Remove files that only data versions older than 30 days need, and no version with a bundle.

    So the rows of every model that can be served can be loaded again. Returns how many were.
    """
    with reading(run.engine) as connection:
        rows = connection.execute(
            select(models.c.bundle, models.c.data_version).where(
                models.c.problem == run.name, models.c.data_version.is_not(None)
            )
        ).all()
    live = {
        int(row.data_version)
        for row in rows
        if row.bundle is not None and bundle_folder(run.store, run.name, row.bundle).is_dir()
    }
    return observations.remove_old_files(run.store, run.name, sorted(live), KEPT_DAYS * 24)
