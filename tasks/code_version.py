"""What code and which libraries run here."""

from __future__ import annotations

import importlib.metadata
import platform
import shutil
import subprocess
from functools import lru_cache
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[1]
LIBRARIES = ("scikit-learn", "skl2onnx", "onnx", "onnxruntime", "numpy", "scipy", "pandas")
GIT_SECONDS = 5


@lru_cache(maxsize=1)
def code_version() -> dict[str, str | None]:
    """Version of the package, and the revision it was checked out at where git knows one.

    A revision with changes that were not committed ends in ``+changes``.
    """
    revision = _git("rev-parse", "HEAD")
    if revision and _git("status", "--porcelain", "--untracked-files=no"):
        revision += "+changes"
    return {"package": _package(), "revision": revision or None}


def library_versions() -> dict[str, str]:
    """Versions of what a model's bytes depend on, with Python's and the kind of machine."""
    found = {name: importlib.metadata.version(name) for name in LIBRARIES}
    return {**found, "python": platform.python_version(), "machine": platform.machine()}


def _package() -> str:
    try:
        return importlib.metadata.version("perennial")
    except importlib.metadata.PackageNotFoundError:
        line = next(
            line
            for line in (CHECKOUT / "pyproject.toml").read_text().splitlines()
            if line.startswith("version")
        )
        return line.partition("=")[2].strip().strip('"')


def _git(*words: str) -> str:
    program = shutil.which("git")
    if program is None or not (CHECKOUT / ".git").exists():
        return ""
    try:
        done = subprocess.run(  # noqa: S603 - fixed words, no shell
            [program, "-C", str(CHECKOUT), *words],
            capture_output=True,
            text=True,
            timeout=GIT_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
