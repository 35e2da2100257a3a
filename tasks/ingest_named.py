"""A file that a person names: taken now, from the inbox or the folders that sources may read."""

from __future__ import annotations

from pathlib import Path

from storage.source_errors import SourceError
from storage.source_folders import find_local
from storage.tabular import SUFFIXES
from tasks.asked import AskedInVainError
from tasks.batch import Stored
from tasks.ingest import Ingested
from tasks.ingest_inbox import inbox_folder, ingest_content, read_settled, set_aside
from tasks.run import Run
from tasks.step import step


class FileRefusedError(AskedInVainError):
    """Nothing of a file that a person named was taken; the message says why."""


@step("ingest the named file", retries=True)
def ingest_named(run: Run, file: str) -> Ingested:
    """Take one file, by a path inside the inbox or `Settings.roots`; the same twice adds nothing.

    A file of the inbox moves to ``done`` or ``refused``, any other stays where it is. Raises
    FileRefusedError for a path that leads nowhere or elsewhere and when nothing fits, SourceError
    when it is still being written.
    """
    inbox = inbox_folder(run.settings.home, run.name)
    try:
        path = _find(file, inbox, run.settings.roots)
    except SourceError as error:
        raise FileRefusedError(str(error)) from error
    is_dropped = path.resolve().parent == inbox.resolve()
    content = read_settled(run, path)
    if content is None:
        raise SourceError("changing", f"{path.name} is still being written; run this again then")
    outcome = ingest_content(run, f"{'inbox' if is_dropped else 'file'}/{path.name}", content)
    if is_dropped:
        set_aside(path, inbox, outcome)
    if isinstance(outcome, Stored):
        return Ingested.of("file", [outcome])
    raise FileRefusedError(f"{path.name}: {outcome}")


def _find(file: str, inbox: Path, roots: tuple[Path, ...]) -> Path:
    inbox.mkdir(parents=True, exist_ok=True)
    found = [path for path in find_local(file, (inbox, *roots)) if path.is_file()]
    if len(found) != 1:
        where = ", ".join(str(root) for root in (inbox, *roots))
        many = f"{len(found)} files are meant by {file!r}" if found else f"no file {file!r}"
        raise SourceError("missing", f"{many} in {where}; expected exactly one")
    if not found[0].name.endswith(SUFFIXES):
        raise SourceError(
            "kind", f"{found[0].name}: expected a name that ends in {', '.join(SUFFIXES)}"
        )
    return found[0]
