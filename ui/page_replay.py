"""Reports of replayed history, where there are any."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import streamlit as st

from ui.parts import empty, table
from ui.scene import Scene
from ui.words import literal

MOST_BYTES = 50_000_000
FOLDER = "replay"


def show(scene: Scene) -> None:
    """The documents below the home's replay folder, the newest first."""
    found = documents(scene.settings.home / FOLDER)
    if not found:
        empty(
            "No report of a replay yet",
            f"Reports (`.json` or `.html`) in `{scene.settings.home / FOLDER}` are shown "
            "here: how retraining policies would have done on the rows of the past.",
        )
        return
    path = st.selectbox("Report", found, format_func=lambda one: one.name, key="report")
    st.caption(f"{path.stat().st_size / 1e6:.1f} MB")
    if path.suffix == ".json":
        _policies(path)
    content = path.read_bytes()
    mime = "application/json" if path.suffix == ".json" else "text/html"
    st.download_button("Download", content, path.name, mime, icon=":material/download:")


def documents(folder: Path) -> list[Path]:
    """Reports in a folder and those below it, the newest first; links are not followed."""
    if not folder.is_dir():
        return []
    files = (path for path in folder.rglob("*") if path.suffix in (".json", ".html"))
    kept = [
        f for f in files if f.is_file() and not f.is_symlink() and f.stat().st_size < MOST_BYTES
    ]
    return sorted(kept, key=lambda path: path.stat().st_mtime, reverse=True)


def _policies(path: Path) -> None:
    try:
        document: Any = json.loads(path.read_bytes())
        policies = document["policies"]
        rows = [{"policy": name, **_plain(found)} for name, found in policies.items()]
    except (ValueError, KeyError, TypeError, AttributeError):
        st.warning("This file is not a replay's report.")
        return
    if document.get("recommendation"):
        st.success(literal(f"Recommended: {document['recommendation']}"))
    st.caption(literal(f"{document.get('metric', '')} over {document.get('rows', '?')} rows"))
    table(rows)


def _plain(found: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in found.items() if isinstance(v, (int, float, str)) or v is None}
