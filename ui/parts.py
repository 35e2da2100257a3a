"""Pieces that several pages are put together from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go
import streamlit as st

from ui.figures import CONFIG

STATE_ICONS = {
    "champion": ":material/trophy:",
    "challenger": ":material/swords:",
    "candidate": ":material/hourglass_top:",
    "waiting": ":material/hourglass_top:",
    "training": ":material/model_training:",
    "shadow": ":material/visibility:",
    "canary": ":material/percent:",
    "refused": ":material/block:",
    "abandoned": ":material/heart_broken:",
    "archived": ":material/inventory_2:",
}
SEVERITY_COLOURS = {"info": "blue", "good": "green", "warning": "orange", "critical": "red"}


def empty(what: str, to_do: str, code: str | None = None) -> None:
    """A page or section that has nothing to show yet, and what the reader does next."""
    with st.container(border=True):
        st.markdown(f"**{what}**")
        st.markdown(to_do)
        if code:
            st.code(code, language="sh", wrap_lines=True)


def draw(figure: go.Figure, key: str, alt: str) -> None:
    """A figure over the whole width; ``alt`` says what it shows to who cannot see it."""
    st.plotly_chart(figure, key=key, config=CONFIG, alt=alt)


def table(rows: Sequence[Mapping[str, Any]], **config: Any) -> None:
    """A table of plain values, as wide as the page."""
    st.dataframe(list(rows), hide_index=True, width="stretch", column_config=config or None)


def tiles(values: Sequence[tuple[str, str, str]]) -> None:
    """Label, value and small print, side by side; below one another on a phone."""
    for column, (label, value, small) in zip(st.columns(len(values)), values, strict=True):
        with column.container(border=True, height="stretch"):
            st.caption(label)
            st.markdown(f"#### {value}")
            st.caption(small)
