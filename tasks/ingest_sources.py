"""Outside sources: each is read on its own, and one that fails keeps no other from its turn."""

from __future__ import annotations

from collections.abc import Iterator

from loguru import logger

from learning import alert_text
from learning.sources import FilesSource, Outside
from storage import source_positions
from storage.source_errors import SourceError
from tasks.batch import Stored
from tasks.ingest import Ingested
from tasks.ingest_files import ingest_files
from tasks.ingest_pages import ingest_pages
from tasks.run import Run
from tasks.step import step


@step("ingest a source", retries=True)
def ingest_source(run: Run, name: str) -> Ingested:
    """Take what is new of one outside source; a failure is told, and tried again next turn."""
    source = next(one for one in run.problem.outside if one.name == name)
    stored: list[Stored] = []
    refused: list[str] = []
    failure: str | None = None
    try:
        for outcome in _outcomes(run, source):
            if isinstance(outcome, str):
                refused.append(outcome)
            else:
                stored.append(outcome)
    except SourceError as error:
        failure = str(error)
        _fails(run, name, failure)
    else:
        _works(run, name)
    return Ingested.of(name, stored, refused, failure)


def _outcomes(run: Run, source: Outside) -> Iterator[Stored | str]:
    if isinstance(source, FilesSource):
        return ingest_files(run, source)
    return ingest_pages(run, source)


def _fails(run: Run, name: str, reason: str) -> None:
    logger.warning("{}: source {} failed: {}", run.name, name, reason)
    with run.commit() as connection:
        source_positions.note_failure(connection, run.name, name, reason)
        run.alert(connection, alert_text.source_failed(name, reason), f"source:{name}")


def _works(run: Run, name: str) -> None:
    with run.commit() as connection:
        if source_positions.end_failure(connection, run.name, name):
            run.alert(connection, alert_text.source_recovered(name), f"source:{name}")
