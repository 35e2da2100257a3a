"""Serving one given bundle: no pointer is followed, nothing is promoted."""

from __future__ import annotations

import re
import shutil
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import unquote, urlsplit

import msgspec

from settings import Settings
from storage.bundles import MANIFEST, BundleError, bundle_folder, read_bundle
from storage.manifest import decode_manifest
from storage.pointers import Pointer, move_pointer

FOLDER = "fixed"


def fix_bundle(settings: Settings, url: str) -> tuple[Settings, str]:
    """Settings whose store holds this bundle alone, and the problem that it answers.

    Raises ValueError when there is no whole bundle at ``url``, a folder or ``file://`` URL.
    """
    if re.match(r"(?!file://)[a-z0-9+.-]+://", url):
        raise ValueError(f"--bundle {url}: expected a folder or a file:// URL")
    is_url = url.startswith("file://")
    folder = Path(unquote(urlsplit(url).path) if is_url else url).resolve()
    try:
        manifest = decode_manifest((folder / MANIFEST).read_bytes())
    except (OSError, msgspec.MsgspecError):
        raise ValueError(
            f"--bundle {folder}: found no bundle; expected a folder with {MANIFEST} and "
            "model.onnx, named by its hash"
        ) from None
    store = settings.home / FOLDER / folder.name[:12]
    shutil.rmtree(store, ignore_errors=True)
    shutil.copytree(folder, bundle_folder(store, manifest.problem, folder.name))
    try:
        read_bundle(store, manifest.problem, folder.name)
    except BundleError as error:
        raise ValueError(f"--bundle {folder}: {error}") from error
    move_pointer(
        store, Pointer(manifest.problem, 1, manifest.version, folder.name, datetime.now(UTC))
    )
    return settings.model_copy(update={"store_url": str(store)}), manifest.problem
