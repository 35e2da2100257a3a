"""Where sources may read files: below the configured folders, or in object stores."""

from __future__ import annotations

import glob
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from storage.source_errors import SourceError

# File systems that are no way round the rules: not http (a source of its own, with its own
# rules), nothing that opens archives, caches or repositories of this machine's disk.
REMOTE = frozenset(
    {"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "adl", "oss", "oci", "hdfs", "webhdfs"}
    | {"sftp", "ssh", "ftp", "smb", "memory"}
)


def scheme_of(url: str) -> str | None:
    """The scheme of a remote address; None for a local path.

    Raises SourceError for an address that sources may not read.
    """
    scheme, mark, _ = url.partition("://")
    if not mark or scheme == "file":
        return None
    if "::" in url or scheme not in REMOTE:
        near = "; use a source of kind http" if scheme.startswith("http") else ""
        raise SourceError(
            "scheme",
            f"found an address that begins with {scheme}://; expected a path or one of "
            f"{', '.join(sorted(REMOTE))}{near}",
        )
    return scheme


def find_local(url: str, roots: Sequence[Path]) -> list[Path]:
    """Files or folders that a local pattern matches, sorted; a relative one is below each root.

    Raises SourceError when the pattern, or what it leads to, is outside of all roots.
    """
    pattern = url.removeprefix("file://")
    wanted = [pattern] if Path(pattern).is_absolute() else [str(root / pattern) for root in roots]
    allowed = [root.resolve() for root in roots]
    found: set[Path] = set()
    for one in wanted:
        _require_inside(Path(os.path.normpath(one)), [*allowed, *roots], url)
        for name in glob.glob(one, recursive=True):  # noqa: PTH207  (patterns may be absolute)
            _require_inside(Path(name).resolve(), allowed, url)
            found.add(Path(name))
    return sorted(found)


def _require_inside(path: Path, roots: Sequence[Path], url: str) -> None:
    if not any(path.is_relative_to(root) for root in roots):
        raise SourceError(
            "outside",
            f"{url!r} leads out of the folders that sources may read: those of "
            "PERENNIAL_SOURCE_ROOTS, or data/ in PERENNIAL_HOME; put it there, or list its folder",
        )


def read_options(variable: str | None, text: str | None) -> dict[str, Any]:
    """Options of a file system from the JSON in a variable; none where none is named."""
    if variable is None:
        return {}
    require_secret(variable, text)
    try:
        found = json.loads(text or "")
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise SourceError("options", f"{variable}: found no JSON object of options in it")
    return found


def require_secret(variable: str, text: str | None) -> str:
    """The secret in a variable. Raises SourceError where it is not set."""
    if not text:
        raise SourceError(
            "secret", f"{variable} is not set; set it in the environment of the loop, or in .env"
        )
    return text
