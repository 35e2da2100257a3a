"""Pictures of a replay: how each policy would have done."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import plotly.graph_objects as go

from ui.figures import styled

COLOURS = ("#2f9e6e", "#4a7fd6", "#d9902f", "#8f6fd6", "#d64545", "#17a2b8", "#b8860b", "#c2559d")
YARDSTICKS = ("no_change", "majority")


def replay_figure(curves: Mapping[str, Sequence[tuple[float, float]]], metric: str) -> go.Figure:
    """One line per policy: row and metric; what asks nothing of a model is dotted."""
    figure = go.Figure()
    for place, (name, points) in enumerate(curves.items()):
        is_yardstick = name in YARDSTICKS
        line = {
            "color": COLOURS[place % len(COLOURS)],
            "width": 1.5 if is_yardstick else 2.5,
            "dash": "dot" if is_yardstick else "solid",
        }
        x, y = zip(*points, strict=True)
        figure.add_scatter(x=x, y=y, mode="lines", name=name, line=line)
    figure.update_xaxes(title="row").update_yaxes(title=metric)
    figure.update_layout(hovermode="x unified")
    return styled(figure, 380)
