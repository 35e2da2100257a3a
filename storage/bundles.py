"""Model bundles: immutable folders named by the hash of what they hold."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import msgspec

from storage.kill_points import reach
from storage.manifest import FORMAT, Manifest, decode_manifest, encode_manifest

MODEL = "model.onnx"
MANIFEST = "manifest.json"
REFERENCE = "reference.parquet"
STATISTICS = "reference.npz"
EXPLANATION = "explanation.npz"
LOSS = "loss.onnx"
LINEAGE = "lineage.json"


class BundleError(Exception):
    """A bundle is not what it says it is; ``code`` names the cause."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Bundle:
    """A verified bundle in memory: its name, its manifest and the bytes of its graph.

    ``explanation`` are the bytes of `EXPLANATION`, None where the bundle has no such file.
    """

    name: str
    manifest: Manifest
    model: bytes
    path: Path
    explanation: bytes | None = None


def sha256(content: bytes) -> str:
    """Hexadecimal SHA-256 of some bytes."""
    return hashlib.sha256(content).hexdigest()


def bundle_folder(store: Path, problem: str, name: str) -> Path:
    """Where a bundle of this name stands."""
    return store / "bundles" / problem / name


def bundle_name(manifest: bytes, files: dict[str, bytes]) -> str:
    """The name that the content gives a bundle: SHA-256 over the manifest and each file's hash."""
    parts = [sha256(manifest)] + [f"{name}:{sha256(files[name])}" for name in sorted(files)]
    return sha256("\n".join(parts).encode())


def write_bundle(
    store: Path, manifest: Manifest, files: dict[str, bytes], encoded: bytes | None = None
) -> str:
    """Write a bundle and return its name; a crash leaves either all of it or nothing.

    ``files`` holds ``model.onnx`` and whatever else travels with it, by file name; ``encoded``
    the manifest's bytes where a bundle of before is written again.
    """
    content = encoded or encode_manifest(manifest)
    name = bundle_name(content, files)
    folder = bundle_folder(store, manifest.problem, name)
    if folder.exists() and _is_whole(store, manifest.problem, name):
        return name
    folder.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=".draft-", dir=folder.parent))
    try:
        for file, data in {**files, MANIFEST: content}.items():
            _write_durably(draft / file, data)
        draft.chmod(0o755)
        _sync_folder(draft)
        reach("export.bundle_drafted")
        try:
            draft.rename(folder)
        except OSError:
            if not folder.exists():
                raise
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    _sync_folder(folder.parent)
    return name


def _is_whole(store: Path, problem: str, name: str) -> bool:
    """Whether a bundle stands there unharmed; a damaged one is moved aside for its like."""
    try:
        read_bundle(store, problem, name)
    except BundleError:
        folder = bundle_folder(store, problem, name)
        folder.rename(tempfile.mkdtemp(prefix=".draft-damaged-", dir=folder.parent))
        return False
    return True


def remove_bundle(folder: Path) -> None:
    """Remove a bundle's folder; a crash leaves the bundle, or a draft that maintenance removes."""
    gone = Path(tempfile.mkdtemp(prefix=".draft-gone-", dir=folder.parent))
    folder.rename(gone)
    shutil.rmtree(gone, ignore_errors=True)


def read_bundle(store: Path, problem: str, name: str) -> Bundle:
    """Read a bundle and verify its hashes.

    Raises BundleError with code ``missing``, ``unreadable``, ``truncated``, ``manifest`` or
    ``sha256``.
    """
    folder = bundle_folder(store, problem, name)
    if not folder.is_dir():
        raise BundleError("missing", f"bundle {name[:12]} of {problem}: no such folder")
    try:
        files = {file.name: file.read_bytes() for file in sorted(folder.iterdir())}
        content = files.pop(MANIFEST)
        model = files[MODEL]
    except KeyError as error:
        raise BundleError("truncated", f"bundle {name[:12]}: {error} is missing") from error
    except OSError as error:
        why = error.strerror or type(error).__name__
        raise BundleError("unreadable", f"bundle {name[:12]}: cannot be read: {why}") from error
    if bundle_name(content, files) != name:
        raise BundleError("sha256", f"bundle {name[:12]}: its content has another hash")
    try:
        manifest = decode_manifest(content)
    except msgspec.MsgspecError as error:
        raise BundleError("manifest", f"bundle {name[:12]}: manifest: {error}") from error
    if manifest.format != FORMAT or manifest.problem != problem:
        raise BundleError(
            "manifest",
            f"bundle {name[:12]}: found format {manifest.format} of {manifest.problem}; "
            f"expected format {FORMAT} of {problem}",
        )
    if sha256(model) != manifest.model_sha256:
        raise BundleError("sha256", f"bundle {name[:12]}: {MODEL} is not the one described")
    return Bundle(name, manifest, model, folder, files.get(EXPLANATION))


def _write_durably(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_atomically(path: Path, content: bytes) -> None:
    """Replace a file by new content; a crash leaves the old content or the new."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as file:
        file.write(content)


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """A draft beside ``path`` that takes its place at the end, or is gone after an error."""
    descriptor, draft = tempfile.mkstemp(prefix=".draft-", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        Path(draft).chmod(0o644)
        Path(draft).replace(path)
    except BaseException:
        Path(draft).unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)
