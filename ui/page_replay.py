"""Reports of replayed history, where there are any."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import streamlit as st

from ui.figures_replay import replay_figure
from ui.parts import draw, empty, table
from ui.scene import Scene
from ui.words import amount, literal

MOST_BYTES = 50_000_000
FOLDER = "replay"
WORDS = {
    "retrains": "retrained",
    "promotions": "promoted",
    "refusals": "refused",
    "regret": "regret",
    "false_alarms": "false alarms",
    "cpu_seconds": "CPU s",
    "cost": "cost",
}


def show(scene: Scene) -> None:
    """The documents below the home's replay folder: this problem's first, then the newest."""
    folder = scene.settings.home / FOLDER
    found = documents(folder, scene.problem)
    if not found:
        empty(
            "No report of a replay yet",
            "A replay runs the loop over the rows of the past and says which retraining policy "
            "would have paid. It changes nothing. Start one in Prefect (`replay`), or here:",
            f"perennial replay --problem {scene.problem}",
        )
        return
    path = st.selectbox(
        "Report", found, format_func=lambda one: str(one.relative_to(folder)), key="report"
    )
    if path.suffix == ".json":
        _policies(path)
    else:
        st.caption("A page by itself, with its plots: download it and open it in a browser.")
    for one in dict.fromkeys((path, path.with_suffix(".html"))):
        if one.is_file() and not one.is_symlink():
            _offer(one)


def documents(folder: Path, problem: str = "") -> list[Path]:
    """Reports below a folder, a problem's own first, then the newest; links are not followed.

    A page whose numbers are there too stands behind them.
    """
    if not folder.is_dir():
        return []
    files = (path for path in folder.rglob("*") if path.suffix in (".json", ".html"))
    kept = [
        f for f in files if f.is_file() and not f.is_symlink() and f.stat().st_size < MOST_BYTES
    ]
    shown = [f for f in kept if f.suffix == ".json" or f.with_suffix(".json") not in kept]
    return sorted(shown, key=lambda f: (f.parent.name == problem, f.stat().st_mtime), reverse=True)


def _offer(path: Path) -> None:
    mime = "application/json" if path.suffix == ".json" else "text/html"
    label = f"Download {path.name} ({path.stat().st_size / 1e6:.1f} MB)"
    st.download_button(label, path.read_bytes(), path.name, mime, icon=":material/download:")


def _policies(path: Path) -> None:
    try:
        document: Any = json.loads(path.read_bytes())
        metric = str(document.get("metric", "metric"))
        rows = [_row(name, found, metric) for name, found in document["policies"].items()]
        curves = {name: _points(found) for name, found in document["policies"].items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        st.warning("This file is not a replay's report.")
        return
    if document.get("recommendation"):
        st.success(literal(document["recommendation"]), icon=":material/recommend:")
    n_rows = document.get("rows")
    count = amount(n_rows) if isinstance(n_rows, int) else "?"
    st.caption(literal(f"{metric} over {count} rows"))
    if any(curves.values()):
        drawn = replay_figure({name: points for name, points in curves.items() if points}, metric)
        draw(drawn, "curves", f"{metric} of each policy over the rows of the past")
    table([{key: value for key, value in row.items() if key in _used(rows)} for row in rows])


def _row(name: str, found: Mapping[str, Any], metric: str) -> dict[str, Any]:
    """One policy's line: its figures, under the names that the terminal gives them."""
    told = {word: found.get(key) for key, word in WORDS.items()}
    return {"policy": name, metric: found.get("metric"), **told}


def _used(rows: list[dict[str, Any]]) -> set[str]:
    return {key for row in rows for key, value in row.items() if value is not None}


def _points(found: Mapping[str, Any]) -> list[tuple[float, float]]:
    """The middle row and the metric of each part that has one."""
    return [
        ((one["first"] + one["end"]) / 2, one["value"])
        for one in found.get("curve") or ()
        if one["value"] is not None
    ]
