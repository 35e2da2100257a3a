"""A challenger's way in words: the gate's verdict, then who stands beside the champion."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import streamlit as st
from sqlalchemy import Row

from ui.parts import STATE_ICONS, table
from ui.words import ago, clock, literal, share

ON_TRIAL = ("shadow", "canary", "probation")
VERDICTS = {
    "promote": ("passed", ":material/check_circle:"),
    "refuse": ("refused", ":material/block:"),
    "inconclusive": ("undecided, judged again on more rows", ":material/hourglass_top:"),
}


def verdict(gate: Row[Any]) -> tuple[str, str]:
    """The gate's outcome in words, and its icon."""
    usual = "promote" if gate.go else "refuse"
    return VERDICTS.get(gate.evidence.get("outcome", usual), VERDICTS[usual])


def sentence(stage: Row[Any]) -> str:
    """What a running stage is, in one sentence."""
    version, against = stage.version, stage.against
    if stage.stage == "shadow":
        return (
            f"Version {version} is in the shadow of version {against}: it scores the live "
            "traffic and answers none of it"
        )
    if stage.stage == "canary":
        return (
            f"Version {version} is the canary beside version {against}: it answers "
            f"{share(stage.share)} of the requests"
        )
    return (
        f"Version {version} is on probation: should it do worse than version {against} did, "
        "that one comes back by itself"
    )


def show_running(stages: Sequence[Row[Any]]) -> None:
    """Each running stage with what was seen of it by now."""
    for stage in stages:
        head = f"**{literal(sentence(stage))}** (began {ago(stage.began_at)})"
        icon = STATE_ICONS.get(stage.stage, STATE_ICONS["champion"])
        st.info(f"{head}  \n{literal(stage.reason)}", icon=icon)


def show_past(stages: Sequence[Row[Any]]) -> None:
    """All stages as a table, what runs and what became of the others."""
    table(
        [
            {
                "stage": stage.stage,
                "version": stage.version,
                "beside": stage.against,
                "answers": share(stage.share) if stage.stage == "canary" else "",
                "state": stage.state,
                "began": clock(stage.began_at),
                "ended": clock(stage.ended_at),
                "what was seen": stage.reason,
            }
            for stage in stages
        ],
        **{"what was seen": st.column_config.TextColumn("what was seen", width="large")},
    )
