"""Sources of Delta tables: the rows that were added since a version."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError, TableNotFoundError

from learning.sources import DeltaSource
from storage.source_errors import SourceDownError, SourceError
from storage.source_folders import find_local, scheme_of

# Operations after which the table holds the same rows as before.
SAME_ROWS = frozenset(
    {"OPTIMIZE", "VACUUM START", "VACUUM END", "SET TBLPROPERTIES", "FSCK", "ADD CONSTRAINT"}
)
# The library holds Python still while it waits for an object store: not for long, then.
PATIENCE = {
    "connect_timeout": "5s",
    "timeout": "20s",
    "max_retries": "2",
    "retry_timeout": "20s",
}


@dataclass(frozen=True)
class Added:
    """Rows that were added up to a version of a table; None when there are none."""

    table: pa.Table | None
    version: int


def read_added(
    source: DeltaSource,
    roots: Sequence[Path],
    options: dict[str, str],
    since: int | None,
    page_rows: int,
    has_key: bool,
) -> Added | None:
    """The rows of one or more versions behind ``since``, or of the whole table; None: no news.

    A version that rewrote rows gives all rows of its new files, which is only safe where a key
    tells them apart. Raises SourceDownError or SourceError.
    """
    try:
        place = _place(source, roots)
        newest = DeltaTable(place, storage_options={**PATIENCE, **options})
        if since is None:
            return Added(_rows(newest, None), newest.version())
        if newest.version() < since:
            raise SourceError(
                "version",
                f"{source.name}: found version {newest.version()}, but {since} was read before; "
                "the table was replaced: give the source another name to read it anew",
            )
        return _behind(source, newest, since, page_rows, has_key)
    except TableNotFoundError as error:
        raise SourceDownError("missing", f"{source.name}: found no Delta table") from error
    except (DeltaError, OSError, pa.ArrowException) as error:
        said = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise SourceDownError("unreadable", f"{source.name}: {said}") from error


def _place(source: DeltaSource, roots: Sequence[Path]) -> str:
    if scheme_of(source.url) is not None:
        return source.url
    found = [path for path in find_local(source.url, roots) if path.is_dir()]
    if len(found) != 1:
        count = "no folder" if not found else f"{len(found)} folders"
        raise SourceDownError("missing", f"{source.name}: found {count} {source.url!r}; expected 1")
    return str(found[0])


def _behind(
    source: DeltaSource, table: DeltaTable, since: int, page_rows: int, has_key: bool
) -> Added | None:
    last = table.version()
    if last == since:
        return None
    done = {
        int(entry["version"]): str(entry.get("operation", ""))
        for entry in table.history(last - since)
        if "version" in entry
    }
    parts: list[pa.Table] = []
    version = since
    before = _files(table, since)
    while version < last and sum(part.num_rows for part in parts) < page_rows:
        version += 1
        after = _files(table, version)
        if done.get(version) not in SAME_ROWS:
            if before - after and not has_key:
                raise SourceError(
                    "rewritten",
                    f"{source.name}: version {version} changed or removed rows; without a key "
                    "in the problem file, what is new cannot be told from what is not",
                )
            parts.append(_rows(table, after - before))
        before = after
    rows = [part for part in parts if part.num_rows]
    return Added(pa.concat_tables(rows, promote_options="permissive") if rows else None, version)


def _files(table: DeltaTable, version: int) -> frozenset[str]:
    """The table's files as of a version, at which it is left."""
    table.load_as_version(version)
    return frozenset(table.file_uris())


def _rows(table: DeltaTable, files: frozenset[str] | None) -> pa.Table:
    """The rows of some files of the version at which the table stands; None: of all."""
    import pyarrow.dataset as pads

    found: Any = table.to_pyarrow_dataset()
    if files is None:
        return found.to_table()
    names = {uri.rpartition("/")[2] for uri in files}
    wanted = [part for part in found.get_fragments() if part.path.rpartition("/")[2] in names]
    return pads.FileSystemDataset(
        wanted, found.schema, found.format, filesystem=found.filesystem
    ).to_table()
