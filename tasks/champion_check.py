"""Whether the champion's bundle is what it was: mended from the training's files, or told of."""

from __future__ import annotations

from typing import Any

from loguru import logger
from sqlalchemy import Row

from learning import alert_text
from storage import models
from storage.bundles import MANIFEST, BundleError, bundle_name, read_bundle, write_bundle
from storage.database import reading
from storage.manifest import decode_manifest
from tasks.run import Run
from tasks.step import step
from tasks.training import training_folder


@step("check the champion's bundle")
def check_champion(run: Run) -> str | None:
    """What is wrong with the champion's bundle, told once as an incident; None when nothing is.

    A damaged one is written again from the files of its training, if these are whole. Otherwise
    the loop can neither measure the champion nor train against it until a person rolls back.
    """
    with reading(run.engine) as connection:
        row = models.champion(connection, run.name)
    if row is None or row.bundle is None:
        return None
    version = str(row.version)
    try:
        read_bundle(run.store, run.name, row.bundle)
    except BundleError as error:
        if not _write_again(run, row):
            with run.commit() as connection:
                run.alert(connection, alert_text.champion_damaged(version, error.code, str(error)))
            return str(error)
        logger.warning("{}: {}; written again from its training's files", run.name, error)
    with run.commit() as connection:
        run.alert(connection, alert_text.champion_whole(version))
    return None


def _write_again(run: Run, row: Row[Any]) -> bool:
    folder = training_folder(run.settings.home, run.name, row.version) / "bundle"
    try:
        files = {path.name: path.read_bytes() for path in folder.iterdir()}
        content = files.pop(MANIFEST)
    except (OSError, KeyError):
        return False
    if bundle_name(content, files) != row.bundle:
        return False
    write_bundle(run.store, decode_manifest(content), files, content)
    return True
