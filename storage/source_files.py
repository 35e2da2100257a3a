"""Sources of files: what matches a pattern, which version of each it is, and its bytes."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from learning.sources import FilesSource
from storage.source_errors import SourceDownError, SourceError
from storage.source_folders import find_local, scheme_of
from storage.tabular import SUFFIXES, TableError

# What tells versions of a file apart, as the file systems call it.
VERSION_KEYS = (
    *("size", "mtime", "mtime_ns", "ino", "ETag", "etag", "LastModified", "last_modified"),
    *("updated", "generation", "md5Hash", "created", "modified"),
)


@dataclass(frozen=True)
class Found:
    """A file of a source; ``version`` changes when the file does, ``size`` is in bytes."""

    path: str
    name: str
    version: str
    size: int


class Files:
    """The files of one source. Not safe to share among threads."""

    def __init__(
        self, source: FilesSource, roots: Sequence[Path], options: dict[str, Any] | None = None
    ) -> None:
        self._source = source
        self._roots = roots
        self._remote = None
        if scheme_of(source.url) is not None:
            self._remote, self._pattern = _open(source.url, options or {})

    def found(self) -> list[Found]:
        """The files that match by now, sorted by path. Raises SourceError."""
        if self._remote is None:
            return self._local()
        try:
            listed = self._remote.glob(self._pattern, detail=True)
        except Exception as error:  # each file system has errors of its own
            raise _down(self._source.url, error) from error
        return [
            _remote_file(path, info)
            for path, info in sorted(listed.items())
            if info.get("type") == "file" and self._is_wanted(path)
        ]

    def read(self, file: Found) -> bytes | None:
        """A file's bytes; None if it is gone, or changed while it was read: it is next turn's.

        They may be newer than the version that was found, which is then found anew and is known.

        Raises TableError for one that is too large and SourceDownError when it cannot be read.
        """
        limit = self._source.max_mb * 1024 * 1024
        if file.size > limit:
            raise TableError(
                "too_large",
                f"{file.name}: found {file.size:,} bytes; at most {self._source.max_mb} MB are "
                "read; split it, or raise max_mb",
            )
        try:
            before = self._version(file.path)
            content = self._bytes(file.path, limit)
            is_same = self._version(file.path) == before
        except FileNotFoundError:
            return None
        except Exception as error:
            raise _down(file.name, error) from error
        return content if is_same else None

    def table_name(self, file: Found) -> str:
        """The file's name, with the end that its declared format has."""
        kind = self._source.format
        return file.name if kind == "auto" else f"{file.name}.{kind}"

    def _local(self) -> list[Found]:
        files = []
        for path in find_local(self._source.url, self._roots):
            if path.is_file() and not path.name.startswith(".") and self._is_wanted(path.name):
                info = _local_info(path)
                files.append(Found(str(path), path.name, _version(info), info["size"]))
        return files

    def _is_wanted(self, name: str) -> bool:
        return self._source.format != "auto" or name.lower().endswith(SUFFIXES)

    def _bytes(self, path: str, limit: int) -> bytes:
        opener: Any = Path(path) if self._remote is None else self._remote
        where = () if self._remote is None else (path,)
        with opener.open(*where, mode="rb") as file:
            content: bytes = file.read(limit)
        return content

    def _version(self, path: str) -> str:
        if self._remote is None:
            return _version(_local_info(Path(path)))
        return _version(self._remote.info(path))


def _open(url: str, options: dict[str, Any]) -> tuple[Any, str]:
    import fsspec

    try:
        opened: tuple[Any, str] = fsspec.core.url_to_fs(url, use_listings_cache=False, **options)
    except ImportError as error:
        raise SourceError("driver", f"{url}: {error}; try `uv sync --group clouds`") from error
    except Exception as error:
        raise _down(url, error) from error
    return opened


def _remote_file(path: str, info: dict[str, Any]) -> Found:
    return Found(path, path.rpartition("/")[2], _version(info), int(info.get("size") or 0))


def _local_info(path: Path) -> dict[str, Any]:
    stat = path.stat()
    return {"size": stat.st_size, "mtime_ns": stat.st_mtime_ns, "ino": stat.st_ino}


def _version(info: dict[str, Any]) -> str:
    known = [f"{key}={info[key]}" for key in VERSION_KEYS if info.get(key) is not None]
    return hashlib.sha256("\n".join(known).encode()).hexdigest()[:32]


def _down(what: str, error: Exception) -> SourceDownError:
    said = getattr(error, "strerror", None) or str(error) or "no message"
    return SourceDownError("unreadable", f"{what}: {type(error).__name__}: {said}")
