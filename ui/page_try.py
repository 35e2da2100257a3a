"""One prediction by hand, with why it came out as it did. Nothing is stored."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import numpy as np
import streamlit as st

from storage import models
from storage.manifest import FeatureSpec, Manifest
from ui.api_client import ApiUnavailableError
from ui.figures_models import contributions_figure
from ui.parts import draw, empty, table, tiles
from ui.scene import Scene
from ui.shapes import read_column, read_manifest
from ui.words import literal

MOST_FIELDS, MOST_BARS = 30, 15
OTHER = "(missing)"


def show(scene: Scene) -> None:
    """A field for each feature, filled with a usual row; the answer and its explanation."""
    with scene.tables() as connection:
        row = models.champion(connection, scene.problem)
    manifest = None if row is None or row.bundle is None else _manifest(scene, row.bundle)
    if row is None or manifest is None:
        empty(
            "No model answers yet",
            "A prediction can be tried once a first model is promoted. The **Overview** says what "
            "is missing.",
        )
        return
    if not scene.viewer.may("predict"):
        empty(
            "This token may not predict",
            "Sign in with one that has the scope `predict` as well:",
            "perennial token create --scope read --scope predict",
        )
        return
    usual = usual_row(scene, row.bundle)
    with st.form("try"):
        values = _fields(manifest, usual)
        is_sent = st.form_submit_button("Predict", type="primary")
    if is_sent:
        _answer(scene, values)


def _manifest(scene: Scene, bundle: str) -> Manifest | None:
    try:
        return read_manifest(scene.settings.store, scene.problem, bundle)
    except (OSError, msgspec.MsgspecError):
        return None


def usual_row(scene: Scene, bundle: str) -> dict[str, Any]:
    """The middle of each number and the commonest category of the reference rows."""
    return _usual(str(scene.settings.store), scene.problem, bundle)


@st.cache_data(show_spinner=False, max_entries=4)
def _usual(store: str, problem: str, bundle: str) -> dict[str, Any]:
    from pathlib import Path

    manifest = read_manifest(Path(store), problem, bundle)
    found: dict[str, Any] = {}
    for feature in manifest.features:
        try:
            column = read_column(Path(store), problem, bundle, feature.name)
        except (OSError, KeyError, ValueError):
            column = np.empty(0, dtype=np.float32)
        found[feature.name] = _typical(feature, column[~np.isnan(column)])
    return found


def _typical(feature: FeatureSpec, known: np.ndarray) -> Any:
    if feature.kind == "categorical":
        codes = known[known >= 0].astype(int)
        return feature.categories[int(np.bincount(codes).argmax())] if len(codes) else None
    if not len(known):
        return None
    middle = float(np.sort(known)[len(known) // 2])
    return int(middle) if middle.is_integer() else float(f"{middle:.4g}")


def _fields(manifest: Manifest, usual: dict[str, Any]) -> dict[str, Any]:
    if len(manifest.features) > MOST_FIELDS:
        st.caption(f"{len(manifest.features)} features: as JSON; what is left out is missing.")
        text = st.text_area("Features", json.dumps(usual, indent=1), height=320, key="json")
        return {"": text}
    values: dict[str, Any] = {}
    columns = st.columns(3)
    for place, feature in enumerate(manifest.features):
        with columns[place % 3]:
            values[feature.name] = _field(feature, usual.get(feature.name))
    return values


def _field(feature: FeatureSpec, usual: Any) -> Any:
    key = f"feature-{feature.name}"
    label = literal(feature.name)
    if feature.kind == "categorical":
        options = [*feature.categories, OTHER]
        place = options.index(usual) if usual in options else len(options) - 1
        said = st.selectbox(label, options, index=place, key=key)
        return None if said == OTHER else said
    start = None if usual is None else float(usual)
    return st.number_input(label, value=start, format="%g", placeholder="missing", key=key)


def _answer(scene: Scene, values: dict[str, Any]) -> None:
    try:
        features = json.loads(values[""]) if "" in values else values
        if not isinstance(features, dict):
            raise ValueError("expected {name: value}")
    except ValueError as error:
        st.error(f"Not JSON: {literal(error)}")
        return
    try:
        found = scene.api.explain(features)
    except ApiUnavailableError as error:
        st.error(literal(error))
        return
    _show(found)


def _show(found: dict[str, Any]) -> None:
    chance = found.get("probability")
    small = [f"{key.replace('_', ' ')} {found[key]}" for key in ("risk_level",) if found.get(key)]
    if found.get("expected_cost") is not None:
        small.append(f"expected cost {found['expected_cost']:.3g}")
    tiles(
        [
            ("Prediction", literal(found["prediction"]), literal(", ".join(small) or "by the API")),
            ("Probability", "–" if chance is None else f"{chance:.3f}", "of the positive class"),
            ("Version", literal(found["model_version"]), literal(found.get("method", ""))),
        ]
    )
    st.subheader("Why")
    contributions = found.get("contributions") or []
    scale = found.get("scale", "")
    top = [
        (f"{one['feature']} = {_told(one['value'])}", one["contribution"])
        for one in contributions[:MOST_BARS]
    ][::-1]
    draw(contributions_figure(top, f"contribution ({scale})"), "why", "contribution by feature")
    rest = sum(one["contribution"] for one in contributions[MOST_BARS:])
    parts = [f"base {found['base_value']:.4g}", f"shown {sum(v for _, v in top):+.4g}"]
    if len(contributions) > MOST_BARS:
        parts.append(f"{len(contributions) - MOST_BARS} others {rest:+.4g}")
    st.caption(literal(f"{', '.join(parts)}: together {found['prediction_on_scale']:.4g} {scale}"))
    with st.expander("All contributions"):
        table([{**one, "value": _told(one["value"])} for one in contributions])


def _told(value: Any) -> str:
    return (
        f"{value:.4g}" if isinstance(value, float) else "missing" if value is None else str(value)
    )
