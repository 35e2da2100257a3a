"""Where replays stand on disk: what each policy has come to, so that they can be gone on with."""

from __future__ import annotations

import io
import json
import re
import shutil
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from storage.bundles import write_atomically

Kept = tuple[dict[str, NDArray[Any]], dict[str, Any]]
SUFFIX = ".npz"
_REST = "rest"


def replay_folder(home: Path, problem: str) -> Path:
    """Where a problem's replays stand, and their reports."""
    return home / "replay" / problem


def states_folder(home: Path, problem: str, digest: str) -> Path:
    """Where the states of one replay stand; ``digest`` tells replays apart."""
    if not re.fullmatch(r"[0-9a-f]{1,64}", digest):
        raise ValueError(f"found the digest {digest!r}; expected hexadecimal digits")
    return replay_folder(home, problem) / digest


def write_state(
    folder: Path, name: str, arrays: Mapping[str, NDArray[Any]], rest: Mapping[str, Any]
) -> None:
    """Keep arrays and JSON values under a name; replaces what stood there at once."""
    folder.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    text = np.frombuffer(json.dumps(rest).encode(), dtype=np.uint8)
    np.savez(buffer, allow_pickle=False, **{_REST: text}, **dict(arrays))
    write_atomically(folder / f"{name}{SUFFIX}", buffer.getvalue())


def read_state(folder: Path, name: str) -> Kept | None:
    """What is kept under a name; None where there is nothing, or what cannot be read."""
    path = folder / f"{name}{SUFFIX}"
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {key: file[key] for key in file.files}
        rest: dict[str, Any] = json.loads(arrays.pop(_REST).tobytes().decode())
    except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile):
        return None
    return arrays, rest


def forget_states(home: Path, problem: str) -> None:
    """Remove all states of a problem's replays; reports stay."""
    for folder in replay_folder(home, problem).glob("*/"):
        shutil.rmtree(folder, ignore_errors=True)
