"""Who was champion when and why, and why nothing took its place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import streamlit as st
from sqlalchemy import Row

from storage import releases, reports, rollouts
from ui.parts import empty, table
from ui.scene import Scene
from ui.stages import ON_TRIAL, show_past, show_running, verdict
from ui.words import ago, clock, literal

N_RELEASES, N_VERDICTS, N_DECISIONS, N_STAGES = 100, 30, 30, 30

MARKS = {
    "pass": ":green[:material/check:]",
    "fail": ":red[:material/close:]",
    "unsure": ":orange[:material/question_mark:]",
    "skip": ":gray[:material/remove:]",
}


def show(scene: Scene) -> None:
    """What stands in the way now, the ledger, the gate's verdicts check by check."""
    with scene.tables() as connection:
        acts = releases.release_history(connection, scene.problem, N_RELEASES)
        gates = reports.decisions_of(connection, scene.problem, "gate", N_VERDICTS)
        decided = reports.decisions_of(connection, scene.problem, "retrain", N_DECISIONS)
        stages = rollouts.history(connection, scene.problem, N_STAGES)
        running = [rollouts.running(connection, scene.problem, (one,)) for one in ON_TRIAL]
    if not acts and not gates and not decided:
        empty(
            "Nothing was ever released",
            "The first model is trained when enough labelled rows are there, and takes its place "
            "when it is better than a dummy. The **Overview** says how many rows are missing.",
        )
        return
    _why(acts, gates, decided)
    show_running([stage for stage in running if stage is not None])
    _ledger(scene, acts)
    if stages:
        st.subheader("Rollouts in stages")
        show_past(stages)
    _verdicts(gates)
    _decisions(decided)


def _why(acts: Sequence[Row[Any]], gates: Sequence[Row[Any]], decided: Sequence[Row[Any]]) -> None:
    """The one sentence that says why nothing newer is served."""
    serving = next((a for a in acts if a.state in ("promoted", "rolled_back_to")), None)
    if serving is not None:
        since = f"since {clock(serving.started_at)}"
        st.markdown(f"Version **{serving.version}** is served {since}: {literal(serving.reason)}")
    refused = next(iter(gates), None)
    if refused is not None and not refused.go:
        version = refused.evidence.get("version", "")
        is_open = refused.evidence.get("outcome") == "inconclusive"
        what = "is not promoted yet" if is_open else "was not promoted"
        st.warning(
            f"**Version {version} {what}** ({ago(refused.decided_at)}): {literal(refused.reason)}",
            icon=verdict(refused)[1],
        )
    newest = next(iter(decided), None)
    if newest is not None and not newest.go:
        st.info(
            f"**Nothing is being trained** ({ago(newest.decided_at)}): {literal(newest.reason)}",
            icon=":material/pause_circle:",
        )


def _ledger(scene: Scene, acts: Sequence[Row[Any]]) -> None:
    st.subheader("Ledger")
    if not acts:
        st.caption("No model has been released yet.")
        return
    table(
        [
            {
                "generation": act.generation,
                "version": act.version,
                "state": act.state.replace("_", " "),
                "since": clock(act.started_at),
                "who": act.actor,
                "why": act.reason,
            }
            for act in acts
        ],
        why=st.column_config.TextColumn("why", width="large"),
    )
    with st.expander("Go back to an earlier version"):
        st.markdown("It works with every other part down, and is entered into the ledger later:")
        st.code(
            f'perennial rollback --problem {scene.problem} --reason "…"   # or with --to 3',
            language="sh",
            wrap_lines=True,
        )


def _verdicts(gates: Sequence[Row[Any]]) -> None:
    st.subheader("At the gate")
    if not gates:
        st.caption("No challenger has come to the gate yet.")
    for place, gate in enumerate(gates):
        version = gate.evidence.get("version", "?")
        word, icon = verdict(gate)
        title = f"Version {version} {word}, {clock(gate.decided_at)}"
        with st.expander(title, icon=icon, expanded=place == 0):
            st.markdown(literal(gate.reason))
            _checks(gate.evidence.get("checks") or [])


def _checks(checks: Sequence[dict[str, Any]]) -> None:
    for check in checks:
        usual = "pass" if check.get("passed") else "fail"
        icon = MARKS.get(check.get("outcome", usual), MARKS[usual])
        text = literal(check.get("text") or "")
        st.markdown(f"{icon} **{literal(check.get('name', ''))}**: {text}")


def _decisions(decided: Sequence[Row[Any]]) -> None:
    if not decided:
        return
    st.subheader("Decisions to retrain, or not")
    table(
        [
            {
                "when": clock(row.decided_at),
                "retrain": "yes" if row.go else "no",
                "trigger": row.trigger or "",
                "why": row.reason,
            }
            for row in decided
        ],
        why=st.column_config.TextColumn("why", width="large"),
    )
