"""How any version was trained and judged."""

from __future__ import annotations

from typing import Any

import msgspec
import streamlit as st
from sqlalchemy import Row

from learning.phrases import figure
from storage import models
from storage.manifest import Manifest
from ui.figures_models import evaluation_pictures
from ui.parts import draw, empty, table, tiles
from ui.scene import Scene
from ui.shapes import read_manifest
from ui.words import amount, clock, literal

N_VERSIONS = 200


def show(scene: Scene) -> None:
    """All versions, and one of them in full."""
    with scene.tables() as connection:
        rows = models.attempts(connection, scene.problem, N_VERSIONS)
    if not rows:
        empty(
            "No model was trained yet",
            "The loop trains the first one when enough labelled rows are there. To try at once:",
            f'perennial run retrain --problem {scene.problem} --reason "first model"',
        )
        return
    by_version = {row.version: row for row in rows}
    serving = next((row.version for row in rows if row.state == "champion"), rows[0].version)
    places = list(by_version)
    version = st.selectbox(
        "Version",
        places,
        index=places.index(serving),
        format_func=lambda one: f"{one} · {by_version[one].state}",
        key="version",
    )
    _one(scene, by_version[version])
    st.subheader("All versions")
    table([_line(row) for row in rows])


def _line(row: Row[Any]) -> dict[str, Any]:
    return {
        "version": row.version,
        "state": row.state,
        "trained": clock(row.trained_at),
        "data version": "" if row.data_version is None else str(row.data_version),
        "why": row.reason or "",
    }


def _one(scene: Scene, row: Row[Any]) -> None:
    if row.reason:
        st.markdown(f"**{literal(row.state)}**: {literal(row.reason)}")
    manifest = _manifest(scene, row)
    if manifest is None:
        st.caption("It has no bundle: its training ended before there was a model, or it is gone.")
    else:
        _facts(manifest, row)
    _pictures(row, manifest)
    link = scene.settings.mlflow_base
    if link is not None and row.mlflow_run_id:
        st.caption(literal(f"MLflow run {row.mlflow_run_id}, version {row.mlflow_version}"))


def _manifest(scene: Scene, row: Row[Any]) -> Manifest | None:
    if row.bundle is None:
        return None
    try:
        return read_manifest(scene.settings.store, scene.problem, row.bundle)
    except (OSError, msgspec.MsgspecError):
        return None


def _facts(manifest: Manifest, row: Row[Any]) -> None:
    value = manifest.metrics.get(manifest.metric)
    span = f"{manifest.training_start[:16]} to {manifest.training_end[:16]}".replace("T", " ")
    parity = manifest.parity.get("largest_difference")
    same = "" if parity is None else f"served form differs by {parity:.1e} at most"
    beside = clock(row.trained_at)
    if manifest.expected is not None and manifest.expected != value:
        beside = f"{figure(manifest.expected)} expected live, {beside}"
    tiles(
        [
            (f"{manifest.metric} on the holdout", figure(value), literal(beside)),
            ("Trained on", f"{amount(manifest.n_training_rows)} rows", literal(span)),
            ("Kind", literal(manifest.model_kind), literal(same)),
        ]
    )
    left, right = st.columns(2)
    with left.expander("All metrics on the holdout"):
        table([{"metric": k, "value": figure(v)} for k, v in manifest.metrics.items()])
    with right.expander("Parameters and versions"):
        facts = {
            **manifest.parameters,
            "window": manifest.training_window,
            "data version": manifest.data_version,
            "threshold": manifest.threshold,
            **manifest.libraries,
        }
        table([{"name": k, "value": str(v)} for k, v in facts.items()])


def _pictures(row: Row[Any], manifest: Manifest | None) -> None:
    figures = dict(row.figures or {})
    if not figures and manifest is not None:
        figures = {"importance": manifest.importance}
        st.caption("Trained before the numbers of its charts were kept; MLflow has the pictures.")
    pictures = list(evaluation_pictures(figures))
    for first in range(0, len(pictures), 2):  # row by row: a phone shows them in this order
        pair = pictures[first : first + 2]
        for column, (title, words, drawn) in zip(st.columns(2), pair, strict=False):
            with column:
                st.markdown(f"##### {title}")
                draw(drawn, f"{title}-{row.version}", words)
