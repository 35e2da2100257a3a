"""Pictures of drift: features over time, and one feature's two distributions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go

from ui.figures import styled
from ui.shapes import Shape
from ui.words import BAD, CALM, MUTED, OURS

SCALE = [[0.0, "rgba(138,148,166,0.12)"], [0.25, "#f2c14e"], [0.6, "#e07a3f"], [1.0, "#b3261e"]]
CELL = 20


def heatmap(checks: Sequence[Any], features: Sequence[str]) -> go.Figure:
    """Effect by feature (rows, the first on top) and check (columns); drifted cells carry a dot.

    A layer of invisible points takes the clicks, which a heatmap itself does not tell of.
    """
    found = [{f["name"]: f for f in check.features} for check in checks]
    x = [f"{check.clock:%Y-%m-%d %H:%M:%S}" for check in checks]
    order = list(features)[::-1]
    effects = [[_effect(column.get(name)) for column in found] for name in order]
    figure = go.Figure()
    figure.add_heatmap(
        z=effects,
        x=list(range(len(checks))),
        y=order,
        colorscale=SCALE,
        zmin=0.0,
        zmax=max(0.3, *(e for row in effects for e in row if e is not None), 0.3),
        xgap=2,
        ygap=2,
        colorbar={
            "title": {"text": "effect", "side": "right"},
            "orientation": "h",
            "thickness": 8,
            "len": 0.5,
            "x": 1.0,
            "xanchor": "right",
            "y": 1.0,
            "yanchor": "bottom",
        },
        hoverinfo="skip",
    )
    dot = max(3, min(7, 120 // max(1, len(checks))))  # so that they part on a phone
    cells = [(place, name) for name in order for place in range(len(checks))]
    figure.add_scatter(
        x=[place for place, _ in cells],
        y=[name for _, name in cells],
        mode="markers",
        marker={
            "size": [dot if _is_drifted(found[p].get(n)) else CELL for p, n in cells],
            "color": [
                "#ffffff" if _is_drifted(found[p].get(n)) else "rgba(0,0,0,0)" for p, n in cells
            ],
        },
        customdata=[[checks[place].run_id, name] for place, name in cells],
        text=[_words(x[place], found[place].get(name)) for place, name in cells],
        hovertemplate="<b>%{y}</b><br>%{text}<extra></extra>",
        showlegend=False,
        selected={"marker": {"opacity": 1}},
        unselected={"marker": {"opacity": 1}},
    )
    ticks = list(range(0, len(checks), max(1, -(-len(checks) // 5))))
    words = [f"{checks[tick].clock:%m-%d<br>%H:%M}" for tick in ticks]
    width, height = [-0.5, len(checks) - 0.5], [-0.5, len(order) - 0.5]
    figure.update_xaxes(tickvals=ticks, ticktext=words, tickangle=0, showgrid=False, range=width)
    figure.update_yaxes(showgrid=False, automargin=True, ticksuffix=" ", range=height)
    figure.update_layout(clickmode="event+select", dragmode=False)
    return styled(figure, 130 + CELL * max(5, len(order)))


def _effect(feature: dict[str, Any] | None) -> float | None:
    return None if feature is None else feature.get("effect")


def _is_drifted(feature: dict[str, Any] | None) -> bool:
    return bool(feature and feature.get("is_drifted"))


def _words(when: str, feature: dict[str, Any] | None) -> str:
    if feature is None:
        return f"{when}<br>not among the features then"
    if feature.get("not_testable"):
        return f"{when}<br>not testable: {feature['not_testable']}"
    verdict = "drifted" if feature["is_drifted"] else "steady"
    numbers = f"{feature.get('test') or 'effect'} {feature['effect']:.3f}"
    return f"{when}<br>{verdict}: {numbers}, corrected p {feature['p_adjusted']:.2g}"


def share_figure(checks: Sequence[Any]) -> go.Figure:
    """The share of drifted features over time; checks that drifted as a whole in red."""
    figure = go.Figure()
    figure.add_scatter(
        x=[check.clock for check in checks],
        y=[check.drift_share for check in checks],
        mode="lines+markers",
        line={"color": MUTED, "width": 1.5},
        marker={"size": 8, "color": [BAD if check.is_drifted else OURS for check in checks]},
        hovertemplate="%{x|%Y-%m-%d %H:%M:%S}<br>%{y:.0%} of the features<extra></extra>",
    )
    figure.update_yaxes(title="drifted features", tickformat=".0%", rangemode="tozero")
    return styled(figure, 220, legend=False)


def distributions_figure(shape: Shape) -> go.Figure:
    """Shares of the reference's and of the current rows in each bin or category."""
    figure = go.Figure()
    for name, shares, colour in (
        ("reference", shape.reference, MUTED),
        ("current", shape.current, CALM),
    ):
        figure.add_bar(x=list(shape.bins), y=list(shares), name=name, marker_color=colour)
    figure.update_layout(barmode="group", bargap=0.2)
    figure.update_xaxes(type="category")
    figure.update_yaxes(title="share of rows", tickformat=".0%")
    return styled(figure, 320)
