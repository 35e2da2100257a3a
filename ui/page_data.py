"""What came in, from where, and what was set apart; admins put rows back."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import streamlit as st
from sqlalchemy import Connection, Row

from learning.sources import source_name
from storage import quarantine, volumes, waiting_labels
from storage.database import writing
from storage.problems import ProblemError, load_problem, problem_folders
from storage.quarantine import Release, Selection
from storage.source_positions import states
from ui.figures import batches_figure, volume_figure
from ui.parts import draw, empty, table
from ui.scene import Scene
from ui.words import ago, amount, clock, literal

N_BATCHES, N_TABLED, N_ROWS = 300, 50, 50


def show(scene: Scene) -> None:
    """Volumes, sources, batches, quarantine."""
    with scene.tables() as connection:
        served = volumes.prediction_volumes(connection, scene.problem)
        batches = volumes.newest_batches(connection, scene.problem, N_BATCHES)
        known = states(connection, scene.problem)
        n_labels = waiting_labels.count(connection, scene.problem)
        apart = quarantine.count_by_reason(connection, Selection(scene.problem))
        releasing = quarantine.unfinished_releases(connection, scene.problem)
    if not served and not batches:
        inbox = f"{scene.inbox}/"
        to_do = "Put a file of rows into the inbox; the loop takes it within 30 s."
        empty("Nothing came in yet", to_do, f"mkdir -p {inbox}\ncp rows.csv {inbox}")
    if served:
        st.subheader("Predictions")
        draw(volume_figure(served), "volumes", "predictions over event time")
    _batches(batches)
    _sources(scene, known, n_labels)
    _quarantine(scene, apart, releasing)


def _batches(batches: Sequence[Row[Any]]) -> None:
    if not batches:
        return
    st.subheader("Batches")
    draw(batches_figure(batches[::-1]), "batches", "rows ingested and quarantined by batch")
    refused = [one for one in batches if one.state == "refused"]
    if refused:
        newest = f"**{literal(refused[0].source)}** {ago(refused[0].ingested_at)}"
        st.warning(f"Refused: {newest}: {literal(refused[0].reason or 'no reason given')}")
    table(
        [
            {
                "when": clock(one.ingested_at),
                "source": one.source,
                "state": one.state,
                "rows": one.n_rows,
                "quarantined": one.n_quarantined,
                "why": one.reason or "",
            }
            for one in batches[:N_TABLED]
        ]
    )


def _sources(scene: Scene, known: dict[str, dict[str, Any]], n_labels: int) -> None:
    st.subheader("Sources")
    try:
        listed = load_problem(scene.problem, problem_folders(scene.settings)).sources
        names = [source_name(source) for source in listed]
    except ProblemError as error:
        st.error(literal(error))
        names = sorted(known)
    rows = []
    for name in names:
        state = known.get(name, {})
        since = state.get("failing_since")
        word = f"failing since {clock(since)}" if since else "well"
        news = ago(state["moved_at"]) if state.get("moved_at") else ""
        rows.append({"source": name, "state": word, "news": news, "why": state.get("reason") or ""})
    table(rows)
    if n_labels:
        st.info(f"{amount(n_labels)} labels wait for a row with their key.")


def _quarantine(scene: Scene, apart: Sequence[Row[Any]], releasing: Sequence[str]) -> None:
    st.subheader("Quarantine")
    if said := st.session_state.pop("released", None):
        st.success(said)
    if releasing:
        st.info("Released rows are put through ingest at the loop's next turn.")
    if not apart:
        st.caption("No row waits. Rows that break the schema are set apart here, never lost.")
        return
    total = sum(row.n_rows for row in apart)
    st.markdown(f"**{amount(total)} rows** wait for a decision.")
    titles = {_title(row): row for row in apart}
    title = st.selectbox("Reason and batch", list(titles), key="quarantined")
    group = titles[title]
    with scene.tables() as connection:
        rows = list(quarantine.find_rows(connection, _selection(scene, group), N_ROWS))
    table([{"line": row.row_number, **_cells(row.row)} for row in rows])
    if group.n_rows > len(rows):
        st.caption(f"The first {len(rows)} of {amount(group.n_rows)}.")
    _form(scene, group)


def _title(row: Row[Any]) -> str:
    source = str(row.source or row.batch_id).rsplit("/", 1)[-1]
    return f"{row.n_rows} × {row.quarantine_reason} · {source} · {row.batch_id[:12]}"


def _cells(row: dict[str, Any]) -> dict[str, str]:
    """Cells as text: a column of a refused file may hold anything."""
    return {str(name): "" if value is None else str(value) for name, value in row.items()}


def _selection(scene: Scene, group: Row[Any]) -> Selection:
    return Selection(scene.problem, group.batch_id, group.quarantine_reason)


def _form(scene: Scene, group: Row[Any]) -> None:
    if not scene.viewer.may("admin"):
        st.caption("A token with the scope admin may put these rows back.")
        return
    with st.form("release"):
        st.markdown(
            f"Put these **{amount(group.n_rows)}** rows through ingest again, under the rules as "
            "they are now."
        )
        reason = st.text_input("Why they are right", key="why")
        is_as_is = st.checkbox("As they are, past ranges, categories and future times")
        is_sent = st.form_submit_button("Release", type="primary")
    if is_sent and not reason.strip():
        st.error("Say why these rows are right: it is kept with them.")
    elif is_sent:
        n_rows = release(scene, group, reason.strip(), is_as_is)
        st.session_state["released"] = (
            f"{amount(n_rows)} rows are released; the loop's next turn takes them."
        )
        st.rerun()


def release(scene: Scene, group: Row[Any], reason: str, is_as_is: bool) -> int:
    """Claim the waiting rows of a group; how many.

    The loop's next turn brings every claimed release to its end, as after a crash between claim
    and copy. Only an admin's viewer may ask: raises PermissionError for others.
    """
    if not scene.viewer.may("admin"):
        raise PermissionError("releasing rows needs a token with the scope admin")
    by = f"status page: {scene.viewer.name}"[:128]
    act = Release(f"release:{uuid4()}:0", by, reason, datetime.now(UTC), is_as_is)
    with writing(scene.engine) as connection:
        return _claim(connection, scene, group, act)


def _claim(connection: Connection, scene: Scene, group: Row[Any], act: Release) -> int:
    return quarantine.claim_rows(connection, _selection(scene, group), group.batch_id, act)
