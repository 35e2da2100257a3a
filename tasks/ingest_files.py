"""Files of a source: each version of each file is one batch, in the order of their paths."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from typing import Any

from loguru import logger
from sqlalchemy import Connection

from learning.sources import FilesSource
from storage import batches, source_positions
from storage.database import reading
from storage.source_errors import SourceDownError
from storage.source_files import Files, Found
from storage.source_folders import read_options
from storage.tabular import read_open_table
from tasks.batch import Also, Stored
from tasks.fetching import tried_again
from tasks.ingest import REFUSALS, SOURCE_LENGTH, refuse_batch, take_batch
from tasks.run import Run

MOST_FILES = 200


def ingest_files(run: Run, source: FilesSource) -> Iterator[Stored | str]:
    """What became of each new or changed file, at most 200 in one turn; a text is a refusal.

    A refused file is tried again when it, or the problem file, has changed; one that cannot be
    read does not keep the others out. Raises SourceError.
    """
    variable = source.options_env
    options = read_options(variable, run.settings.secret(variable) if variable else None)
    files = tried_again(lambda: Files(source, run.settings.roots, options))
    with reading(run.engine) as connection:
        known = source_positions.positions(connection, run.name, source.name)
    rules = hashlib.sha256(run.problem.model_dump_json().encode()).hexdigest()[:16]
    n_new = 0
    failure: SourceDownError | None = None
    for file in tried_again(files.found):
        place = known.get(source_positions.part_of(file.path), {})
        if place.get("version") != file.version or place.get("refused_under", rules) != rules:
            n_new += 1
            if n_new > MOST_FILES:
                logger.info("{}: {}: more files wait for the next turn", run.name, source.name)
                break
            try:
                outcome = _ingest_file(run, source, files, file, rules)
            except SourceDownError as error:
                failure = failure or error
                continue
            if outcome is not None:
                yield outcome
    if failure is not None:
        raise failure


def _ingest_file(
    run: Run, source: FilesSource, files: Files, file: Found, rules: str
) -> Stored | str | None:
    """None for a file that is gone or still changing, or that failed under these rules before."""
    name = f"{source.name}/{file.name}"[:SOURCE_LENGTH]
    batch_id, n_rows = f"file:{source_positions.part_of(file.path + file.version)}", 0
    try:
        content = tried_again(lambda: files.read(file))
        if content is None:
            logger.info("{}: {} is still being written; it waits", run.name, name)
            return None
        batch_id = f"file:{hashlib.sha256(content).hexdigest()}"
        with reading(run.engine) as connection:
            is_known = batches.is_ingested(connection, run.name, batch_id)
        if is_known:
            with run.commit() as connection:
                _moved(run, source, file)(connection)
            return Stored()
        frame = read_open_table(io.BytesIO(content), files.table_name(file))
        n_rows = len(frame)
        return take_batch(run, frame, name, batch_id, _moved(run, source, file))
    except REFUSALS as error:
        also = _moved(run, source, file, refused_under=rules)
        refuse_batch(run, name, batch_id, n_rows, str(error), also)
        return f"{file.name}: {error}"


def _moved(run: Run, source: FilesSource, file: Found, **more: Any) -> Also:
    """Notes, in the transaction of a batch, that this version of a file is done with."""
    value = {"path": file.path, "version": file.version, **more}
    part = source_positions.part_of(file.path)

    def move(connection: Connection) -> None:
        source_positions.move(connection, run.name, source.name, value, part)

    return move
