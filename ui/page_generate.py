"""Rows of a shipped problem from its seeded generator: to look at, and to feed the loop with."""

from __future__ import annotations

from typing import Any, cast

import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from learning.generator import generate
from learning.problem import GeneratorDrift, Problem
from storage.csv_export import neutral_text
from storage.problems import ProblemError, load_problem, problem_folders
from ui.api_client import ApiUnavailableError
from ui.figures import styled
from ui.parts import draw, empty, table
from ui.scene import Scene
from ui.words import BAD, CALM, literal

KINDS = ("none", "sudden", "gradual", "incremental", "recurring")
MOST_LOOKED_AT, MOST_TABLED, MOST_STORED = 5_000, 200, 100_000
N_PARTS = 40


def show(scene: Scene) -> None:
    """Options, the rows they give, and for admins the way into the inbox."""
    try:
        problem = load_problem(scene.problem, problem_folders(scene.settings))
    except ProblemError as error:
        st.error(literal(error))
        return
    if problem.generator is None:
        empty(
            "This problem has no generator",
            "Its rows come from your own sources. Shipped problems with one: linear, maintenance, "
            "churn, credit. To try one, name it and start again:",
            "echo PERENNIAL_ACTIVE=churn >> .env\nmake up",
        )
        return
    left, middle, right = st.columns(3)
    n_rows = left.number_input("Rows", 1, MOST_STORED, 1_000, step=100, key="rows")
    kind = middle.selectbox("Drift", KINDS, key="kind")
    of = right.selectbox("Of", ("inputs", "target", "both"), disabled=kind == "none", key="of")
    frame = preview(problem, int(n_rows), str(kind), str(of))
    _look(problem, frame, str(kind), int(n_rows))
    _feed(scene, int(n_rows), str(kind), str(of))


@st.cache_data(show_spinner=False, max_entries=8, hash_funcs={Problem: Problem.model_dump_json})
def preview(problem: Problem, n_rows: int, kind: str, of: str) -> pd.DataFrame:
    """Rows as the generator gives them; drift begins half way, so that it can be seen."""
    n = min(n_rows, MOST_LOOKED_AT)
    base = problem.generator.drift if problem.generator is not None else GeneratorDrift()
    half = max(1, n // 2)
    changes = {"kind": kind, "of": of, "start_row": half, "length_rows": max(1, half // 2)}
    drift = GeneratorDrift.model_validate({**base.model_dump(), **changes})
    return generate(problem, n, drift=drift)


def _look(problem: Problem, frame: pd.DataFrame, kind: str, n_rows: int) -> None:
    if n_rows > len(frame):
        st.caption(f"Looking at the first {len(frame):,} of {n_rows:,} rows.")
    where = "" if kind == "none" else " Drift begins half way."
    columns = [name for name in frame if name not in (problem.key, problem.event_time)]
    ordered = [problem.target, *(name for name in columns if name != problem.target)]
    name = st.selectbox("Column", ordered, key="column")
    draw(_course(frame[name], kind != "none"), "column-course", f"{name} over the rows")
    st.caption(f"Means of {N_PARTS} equal parts, or shares of the commonest values.{where}")
    table(cast("list[dict[str, Any]]", frame.head(MOST_TABLED).to_dict("records")))
    text = frame.map(neutral_text).to_csv(index=False) if len(frame) else ""
    st.download_button(
        "Download as CSV", text, f"{problem.name}.csv", "text/csv", icon=":material/download:"
    )


def _course(column: pd.Series[Any], is_drifting: bool) -> go.Figure:
    """Means of parts of a number; shares of a category's commonest values."""
    figure = go.Figure()
    part = pd.Series(range(len(column))) * min(N_PARTS, len(column)) // max(1, len(column))
    row = part.groupby(part).size().cumsum()
    if pd.api.types.is_numeric_dtype(column) and column.nunique() > 2:
        mean = column.groupby(part).mean()
        figure.add_scatter(x=row, y=mean, mode="lines", line={"color": CALM}, name="mean")
    else:
        for value in column.value_counts().index[:6]:
            share = (column == value).groupby(part).mean()
            figure.add_scatter(x=row, y=share, mode="lines", name=str(value))
        figure.update_yaxes(tickformat=".0%")
    if is_drifting:
        figure.add_vline(x=len(column) / 2, line={"color": BAD, "dash": "dot"})
    figure.update_xaxes(title="row")
    return styled(figure, 260)


def _feed(scene: Scene, n_rows: int, kind: str, of: str) -> None:
    st.subheader("Feed the loop")
    if not scene.viewer.may("admin"):
        st.caption("A token with the scope admin may put generated rows into the inbox.")
        return
    st.markdown("The next rows of the generator go into the inbox; the loop takes them by itself.")
    if not st.button(f"Put {n_rows:,} rows into the inbox", type="primary"):
        return
    try:
        with st.spinner("Generating"):
            said = scene.api.generate({"rows": n_rows, "drift": kind, "of": of})
    except ApiUnavailableError as error:
        st.error(literal(error))
        return
    st.success(f"{said['n_rows']:,} rows are in {literal(said['file'])}.")
