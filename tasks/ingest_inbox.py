"""The inbox: files that are dropped into a folder, each one batch."""

from __future__ import annotations

import hashlib
import io
import shutil
from pathlib import Path, PurePath

from loguru import logger

from learning import alert_text
from storage import batches
from storage.database import reading
from storage.kill_points import reach
from storage.tabular import SUFFIXES, read_open_table
from tasks.batch import Stored
from tasks.ingest import REFUSALS, SOURCE_LENGTH, Ingested, refuse_batch, take_batch
from tasks.run import Run
from tasks.step import step


def inbox_folder(home: Path, problem: str) -> Path:
    """Where files for a problem are dropped; what was read moves to ``done`` or ``refused``."""
    return home / "inbox" / problem


@step("ingest the inbox", retries=True)
def ingest_inbox(run: Run) -> Ingested:
    """Read each new file of the inbox, oldest name first."""
    folder = inbox_folder(run.settings.home, run.name)
    folder.mkdir(parents=True, exist_ok=True)
    stored: list[Stored] = []
    refused: list[str] = []
    for path in sorted(folder.iterdir()):
        if not path.is_file() or path.name.startswith(".") or not path.name.endswith(SUFFIXES):
            continue
        content = read_settled(run, path)
        if content is None:
            continue
        outcome = ingest_content(run, f"inbox/{path.name}", content)
        set_aside(path, folder, outcome)
        reach("ingest.file_moved")
        if isinstance(outcome, str):
            refused.append(f"{path.name}: {outcome}")
        else:
            stored.append(outcome)
    return Ingested.of("inbox", stored, refused)


def read_settled(run: Run, path: Path) -> bytes | None:
    """A file's bytes; None when it is still being written, or cannot be read: it stays there."""
    try:
        before = path.stat()
        content = path.read_bytes()
        after = path.stat()
    except FileNotFoundError:
        return None
    except PermissionError as error:
        reason = f"{path.name}: cannot be read: {error.strerror}; make it readable for this user"
        logger.warning("{}: {}", run.name, reason)
        with run.commit() as connection:
            run.alert(connection, alert_text.batch_refused(f"inbox/{path.name}", 0, reason), reason)
        return None
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        logger.info("{}: {} is still being written; it waits", run.name, path.name)
        return None
    return content


def ingest_content(run: Run, source: str, content: bytes) -> Stored | str:
    """What became of a file's bytes, one batch; a text says why it was refused."""
    digest, name = hashlib.sha256(content).hexdigest(), PurePath(source).name
    source, batch_id = source[:SOURCE_LENGTH], f"file:{digest}"
    with reading(run.engine) as connection:
        if batches.is_ingested(connection, run.name, batch_id):
            logger.info("{}: {} was ingested before; nothing to add", run.name, name)
            return Stored()
    n_rows = 0
    try:
        frame = read_open_table(io.BytesIO(content), name)
        n_rows = len(frame)
        return take_batch(run, frame, source, batch_id)
    except REFUSALS as error:
        refuse_batch(run, source, batch_id, n_rows, str(error))
        return str(error)


def set_aside(path: Path, inbox: Path, outcome: Stored | str) -> None:
    """Move a file of the inbox that was read to ``done`` or ``refused``."""
    folder = inbox / ("refused" if isinstance(outcome, str) else "done")
    folder.mkdir(exist_ok=True)
    target = folder / path.name
    number = 1
    while target.exists():
        number += 1
        target = folder / f"{number}-{path.name}"
    shutil.move(path, target)
