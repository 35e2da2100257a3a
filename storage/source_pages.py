"""Pages of a source that were fetched and not yet stored: kept, so that a crash repeats none.

A source may answer differently the next time. What was fetched is therefore written down, with
the position behind it, before anything is done with it; a killed run's page is finished first.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet as pq

_POSITION = b"perennial.position"


@dataclass(frozen=True)
class Page:
    """Fetched rows, where the source stands behind them, and a digest of both."""

    table: pa.Table
    position: dict[str, Any]
    digest: str


def page_folder(store: Path, problem: str, source: str) -> Path:
    """Where a source's pages wait."""
    return store / "pages" / problem / source


def keep_page(folder: Path, number: int, table: pa.Table, position: dict[str, Any]) -> None:
    """Write a page down, whole or not at all; one of the same number that is there stays."""
    folder.mkdir(parents=True, exist_ok=True)
    noted = table.replace_schema_metadata({_POSITION: json.dumps(position).encode()})
    draft = folder / f".{uuid4().hex}"
    try:
        with draft.open("wb") as file:
            pq.write_table(noted, file)
            file.flush()
            os.fsync(file.fileno())
        path = _path(folder, number)
        if not path.exists():
            draft.rename(path)
            _sync(folder)
    finally:
        draft.unlink(missing_ok=True)


def read_page(folder: Path, number: int) -> Page | None:
    """The page that waits under a number; None where there is none, or only a damaged one."""
    path = _path(folder, number)
    try:
        content = path.read_bytes()
        table = pq.read_table(io.BytesIO(content))
        position = json.loads(table.schema.metadata[_POSITION])
    except FileNotFoundError:
        return None
    except (pa.ArrowException, KeyError, TypeError, ValueError):
        path.unlink()
        return None
    return Page(table, position, hashlib.sha256(content).hexdigest())


def drop_pages(folder: Path, up_to: int) -> None:
    """Remove the pages that are stored, and what a dead run left of others."""
    for path in folder.glob("*.parquet"):
        if int(path.stem) <= up_to:
            path.unlink(missing_ok=True)
    for draft in folder.glob(".*"):
        draft.unlink(missing_ok=True)


def drop_page(folder: Path, number: int) -> None:
    """Remove one page, which is fetched anew."""
    _path(folder, number).unlink(missing_ok=True)


def _path(folder: Path, number: int) -> Path:
    return folder / f"{number:09d}.parquet"


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
