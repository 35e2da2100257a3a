"""Pages of a source with a cursor: fetched, written down, stored, and the position moved with them.

A killed run's page is stored by the next one as it was fetched; whatever was stored already is
known by the page's number and digest. So each row comes in once, however a run ends.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from learning.sources import DeltaSource, HttpSource, SqlSource
from storage import source_positions
from storage.database import reading
from storage.source_pages import Page, drop_page, drop_pages, keep_page, page_folder, read_page
from storage.tabular import frame_of
from tasks.batch import Stored
from tasks.fetch_pages import fetch
from tasks.fetching import tried_again
from tasks.ingest import REFUSALS, refuse_batch, take_batch
from tasks.run import Run

Paged = SqlSource | HttpSource | DeltaSource
MOST_PAGES = 20


def ingest_pages(run: Run, source: Paged) -> Iterator[Stored | str]:
    """What became of each new page, at most 20 in one turn; a text is a refusal.

    A refused page stops its source, which is asked for it again in the next turn: nothing behind
    it may overtake it. Raises SourceError.
    """
    folder = page_folder(run.store, run.name, source.name)
    for _ in range(MOST_PAGES):
        number, at = _place(run, source)
        drop_pages(folder, number)
        page = read_page(folder, number + 1) or _fetched(run, source, folder, number, at)
        if page is None:
            return
        outcome = _store(run, source, number + 1, page)
        if outcome is None:
            continue
        yield outcome
        if isinstance(outcome, str):
            drop_page(folder, number + 1)
            return
        drop_pages(folder, number + 1)


def _place(run: Run, source: Paged) -> tuple[int, dict[str, Any] | None]:
    """Number of the last page that was stored, and the position behind it."""
    with reading(run.engine) as connection:
        place = source_positions.position(connection, run.name, source.name)
    return (0, None) if place is None else (place["page"], place["at"])


def _fetched(
    run: Run, source: Paged, folder: Path, number: int, at: dict[str, Any] | None
) -> Page | None:
    """The next page, written down; None when there is no news."""
    fetched = tried_again(lambda: fetch(run, source, at))
    if fetched is None:
        return None
    table, behind = fetched
    keep_page(folder, number + 1, table, behind)
    return read_page(folder, number + 1)


def _store(run: Run, source: Paged, number: int, page: Page) -> Stored | str | None:
    """Store a page and move the position in one; None for one without rows."""

    def move(connection: Connection) -> None:
        value = {"page": number, "at": page.position}
        source_positions.move(connection, run.name, source.name, value)

    if not page.table.num_rows:
        with run.commit() as connection:
            move(connection)
        return None
    batch_id = f"{source.name}:{number}:{page.digest[:16]}"
    try:
        frame = frame_of(page.table, source.name)
        return take_batch(run, frame, source.name, batch_id, move)
    except REFUSALS as error:
        refuse_batch(run, source.name, batch_id, page.table.num_rows, str(error))
        return str(error)
