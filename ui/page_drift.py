"""Which inputs moved, when and how: every cell opens its two distributions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import streamlit as st
from sqlalchemy import Row

from storage import models, reports
from ui.figures import CONFIG
from ui.figures_drift import distributions_figure, heatmap, share_figure
from ui.parts import draw, empty, table
from ui.scene import Scene
from ui.shapes import Shape, feature_of, read_column, read_manifest, shape_of
from ui.words import ago, clock, literal

N_CHECKS = 40
REACH = {"newest": N_CHECKS, "wider": 20 * N_CHECKS, "all kept": 1_000_000}
MOST_FEATURES = 30
ICONS = {"normal": ":green[normal]", "warning": ":orange[warning]", "alarm": ":red[alarm]"}


def show(scene: Scene) -> None:
    """Verdict, groups, heatmap, the chosen cell, and what was watched beside the inputs."""
    reach = st.session_state.get("reach", "newest")
    with scene.tables() as connection:
        checks = reports.drift_course(connection, scene.problem, N_CHECKS, REACH[reach])
        joint = reports.latest_joint(connection, scene.problem)
    if not checks:
        empty(
            "No check has been made yet",
            "Each turn of the loop compares what arrives with what the champion was trained on. It "
            "needs a champion, and rows behind its training window.",
            "perennial run monitor",
        )
        return
    newest = checks[-1]
    verdict = ":red[Drifted]" if newest.is_drifted else ":green[No drift]"
    st.markdown(f"**{verdict}** {ago(newest.checked_at)}: {literal(newest.reason)}")
    _groups(newest)
    draw(share_figure(checks), "share", "share of drifted features over the checks")
    _choice()
    chosen = _heat(checks, _ranked(checks))
    _cell(scene, checks, chosen)
    _watched(newest, joint)
    _report(scene, newest)


def _groups(newest: Row[Any]) -> None:
    groups = (newest.watched or {}).get("groups") or []
    for column, group in zip(st.columns(max(1, len(groups))), groups, strict=False):
        state = ICONS.get(group["status"], literal(group["status"]))
        counted = f"{group['n_drifted']} of {group['n_testable']} features"
        column.markdown(f"**{literal(group['name'])}** {state}  \n{counted}")


def _choice() -> None:
    st.segmented_control("Checks", list(REACH), default="newest", key="reach", required=True)


def _ranked(checks: Sequence[Row[Any]]) -> list[str]:
    """Features that drifted most often first, then by their largest effect."""
    worst: dict[str, tuple[int, float]] = {}
    for check in checks:
        for one in check.features:
            times, effect = worst.get(one["name"], (0, 0.0))
            worst[one["name"]] = (
                times + bool(one["is_drifted"]),
                max(effect, one.get("effect") or 0.0),
            )
    return sorted(worst, key=lambda name: worst[name], reverse=True)


def _heat(checks: Sequence[Row[Any]], names: list[str]) -> tuple[str, str] | None:
    """The heatmap; run id and feature of the cell that was clicked, if one was."""
    shown = names
    if len(names) > MOST_FEATURES:
        st.caption(f"The {MOST_FEATURES} of {len(names)} features that drifted most.")
        if not st.toggle("Show all features", key="all-features"):
            shown = names[:MOST_FEATURES]
    said = st.plotly_chart(
        heatmap(checks, shown),
        key="heat",
        on_select="rerun",
        selection_mode="points",
        config=CONFIG,
        alt="effect of drift by feature and check",
    )
    st.caption("A white dot: drifted. Click a cell, or choose below, to see its distributions.")
    points = said["selection"]["points"] if said else []
    data = points[0].get("customdata") if points else None
    return (str(data[0]), str(data[1])) if data else None


def _cell(scene: Scene, checks: Sequence[Row[Any]], chosen: tuple[str, str] | None) -> None:
    by_run = {check.run_id: check for check in checks}
    if chosen is not None and chosen != st.session_state.get("clicked"):
        st.session_state["clicked"] = chosen
        if chosen[0] in by_run:
            st.session_state["cell-check"], st.session_state["cell-feature"] = chosen
    names = _ranked(checks)
    _forget("cell-feature", names)
    _forget("cell-check", by_run)
    left, right = st.columns(2)
    name = left.selectbox("Feature", names, key="cell-feature")
    told: Callable[[str], str] = lambda run: clock(by_run[run].clock)  # noqa: E731
    run_id = right.selectbox("Check", list(by_run)[::-1], format_func=told, key="cell-check")
    check = by_run[run_id]
    feature = next((one for one in check.features if one["name"] == name), None)
    if feature is None:
        st.caption(f"{literal(name)} was not among the features of that check.")
        return
    st.markdown(_sentence(feature))
    try:
        shape = _shape(scene, check, name)
    except LookupError as error:
        st.caption(literal(error.args[0]))
        return
    draw(distributions_figure(shape), "cell", f"distribution of {name}, reference and current")


def _forget(key: str, known: Any) -> None:
    """A choice of before that is not there any more."""
    if key in st.session_state and st.session_state[key] not in known:
        del st.session_state[key]


def _sentence(feature: dict[str, Any]) -> str:
    name = f"**{literal(feature['name'])}**"
    if feature.get("not_testable"):
        return f"{name} not testable: {literal(feature['not_testable'])}"
    word = ":red[drifted]" if feature["is_drifted"] else ":green[steady]"
    numbers = (
        f"{feature.get('test')} {feature['effect']:.3f}, corrected p {feature['p_adjusted']:.2g}"
    )
    return f"{name} {word}: {literal(numbers)}"


def _shape(scene: Scene, check: Row[Any], name: str) -> Shape:
    """What the check kept beside the bundle's reference. Raises LookupError in plain words."""
    with scene.tables() as connection:
        found = reports.drift_of_run(connection, check.run_id)
        counts = ((found.shapes if found is not None else None) or {}).get(name)
        version = models.find_version(connection, scene.problem, int(check.model_version))
    if counts is None:
        raise LookupError("this check was made before distributions were kept")
    store, bundle = scene.settings.store, None if version is None else version.bundle
    gone = f"the bundle of version {check.model_version}, which was checked against, is not there"
    if bundle is None:
        raise LookupError(gone)
    try:
        feature = feature_of(read_manifest(store, scene.problem, bundle), name)
        if feature is None:
            raise LookupError(gone)
        return shape_of(feature, read_column(store, scene.problem, bundle, name), counts)
    except (OSError, KeyError, ValueError, msgspec.MsgspecError):
        raise LookupError(gone) from None


def _watched(newest: Row[Any], joint: Row[Any] | None) -> None:
    sentences = list((newest.watched or {}).get("sentences") or [])
    if joint is not None:
        sentences.append(f"jointly: {joint.watched['joint']['reason']}")
    if not sentences:
        return
    st.subheader("Beside the inputs")
    pairs = [sentence.partition(": ") for sentence in sentences]
    table([{"what": what, "found": words} for what, _, words in pairs])


def _report(scene: Scene, newest: Row[Any]) -> None:
    st.subheader("Evidently's report")
    path = None if newest.report is None else report_path(scene.settings.home, newest.report)
    if path is None:
        st.caption("None yet: one is drawn when the verdict turns, or when the last one is old.")
        return
    name = f"{scene.problem}-drift.html"
    size = f"{path.stat().st_size / 1e6:.0f} MB"
    if st.toggle(f"Prepare the document ({size})", key="prepare"):
        st.download_button(
            "Download", path.read_bytes(), name, "text/html", icon=":material/download:"
        )
    if scene.viewer.token is None and scene.settings.api_base:
        url = f"{scene.settings.api_base}/problems/{scene.problem}/drift/report"
        st.link_button("Open in the browser", url, icon=":material/open_in_new:")


def report_path(home: Path, name: str) -> Path | None:
    """The document's file, if it is one and lies below the reports' folder."""
    root, path = (home / "reports").resolve(), (home / name).resolve()
    return path if path.is_relative_to(root) and path.is_file() else None
