"""Pictures of live performance and of volumes, from plain rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from learning.phrases import RIVALS
from storage.volumes import Volume
from ui.words import BAD, BAND, CALM, CAUTION, MUTED, OURS

RIVAL_COLOURS = {"no_change": CAUTION, "frozen": CALM, "dummy": MUTED}
MARKED = {"promoted": OURS, "rolled_back_to": BAD}
CONFIG = {"displayModeBar": False, "scrollZoom": False}


def styled(figure: go.Figure, height: int = 320, legend: bool = True) -> go.Figure:
    """The figure on the page's own background, with little around it."""
    figure.update_layout(
        height=height,
        margin={"l": 8, "r": 8, "t": 44 if legend else 16, "b": 8},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        showlegend=legend,
        legend={"orientation": "h", "y": 1.02, "x": 0, "yanchor": "bottom", "traceorder": "normal"},
        hoverlabel={"namelength": -1},
    )
    return figure


def performance_figure(
    course: Sequence[Mapping[str, Any]], estimates: Sequence[Any], releases: Sequence[Any]
) -> go.Figure:
    """The live metric with its interval, what stands beside it, estimates, and releases as lines.

    Times are those of the data (``clock``), so that replayed and simulated time reads as well.
    """
    figure = go.Figure()
    times = [one["clock"] for one in course]
    _band(figure, times, [one["low"] for one in course], [one["high"] for one in course], BAND)
    for name in RIVALS:
        values = [_rival(one, name) for one in course]
        if any(value is not None for value in values):
            _line(figure, times, values, RIVALS[name], RIVAL_COLOURS[name], dash="dot")
    if estimates:
        when = [one.clock for one in estimates]
        _line(figure, when, [one.value for one in estimates], "estimated", "#8f6fd6", dash="dash")
    _line(figure, times, [one["value"] for one in course], "served model", OURS, width=3)
    floors = [one["floor"] for one in course]
    if any(floor is not None for floor in floors):
        _line(figure, times, floors, "floor", BAD, dash="longdash")
    for release in releases:
        _mark(figure, release)
    figure.update_yaxes(title=course[-1]["metric"] if course else "")
    figure.update_layout(hovermode="x unified")
    return styled(figure, 420)


def _rival(one: Mapping[str, Any], name: str) -> float | None:
    return next((r["value"] for r in one["rivals"] or () if r["name"] == name), None)


def _band(figure: go.Figure, x: Sequence[Any], low: Any, high: Any, colour: str) -> None:
    common = {"x": x, "mode": "lines", "line": {"width": 0}, "hoverinfo": "skip"}
    figure.add_scatter(y=low, showlegend=False, **common)
    figure.add_scatter(y=high, fill="tonexty", fillcolor=colour, name="95% interval", **common)


def _line(
    figure: go.Figure,
    x: Sequence[Any],
    y: Sequence[Any],
    name: str,
    colour: str,
    dash: str = "solid",
    width: float = 1.5,
) -> None:
    mode = "lines+markers" if len(x) < 40 and dash == "solid" else "lines"
    line = {"color": colour, "dash": dash, "width": width}
    figure.add_scatter(x=x, y=y, name=name, mode=mode, line=line, marker={"size": 6})


def _mark(figure: go.Figure, release: Any) -> None:
    colour = MARKED.get(release.state)
    if colour is None:
        return
    figure.add_vline(x=release.clock, line={"color": colour, "width": 1, "dash": "dot"})
    figure.add_annotation(
        x=release.clock,
        y=1.0,
        yref="paper",
        yanchor="top",
        xanchor="left",
        text=f" v{release.version}",
        showarrow=False,
        font={"color": colour},
    )


def settled_figure(settled: Sequence[Any]) -> go.Figure:
    """Estimates against what the labels said, with the line on which they would agree."""
    figure = go.Figure()
    points = [one for one in settled if one.value is not None and one.realised is not None]
    for held, colour, name in ((True, OURS, "interval held"), (False, BAD, "missed")):
        mine = [one for one in points if bool(one.is_covered) is held]
        figure.add_scatter(
            x=[one.value for one in mine],
            y=[one.realised for one in mine],
            mode="markers",
            marker={"color": colour, "size": 9},
            name=name,
        )
    ends = [v for one in points for v in (one.value, one.realised)] or [0.0, 1.0]
    line = {"color": MUTED, "dash": "dot"}
    span = [min(ends), max(ends)]
    figure.add_scatter(x=span, y=span, mode="lines", line=line, name="agreement")
    figure.update_xaxes(title="estimated").update_yaxes(title="by the labels")
    return styled(figure, 340)


def slices_figure(slices: Sequence[Mapping[str, Any]], metric: str) -> go.Figure:
    """Each slice's metric with its interval; those below their floor in red."""
    known = [part for part in slices if part["value"] is not None][::-1]
    figure = go.Figure()
    for part in known:
        low, high = part.get("low"), part.get("high")
        bounds = {}
        if low is not None and high is not None:
            bounds["error_x"] = {
                "type": "data",
                "symmetric": False,
                "array": [high - part["value"]],
                "arrayminus": [part["value"] - low],
            }
        figure.add_scatter(
            x=[part["value"]],
            y=[part["name"]],
            mode="markers",
            marker={"size": 10, "color": BAD if part["is_below_floor"] else OURS},
            **bounds,
        )
    figure.update_xaxes(title=metric)
    return styled(figure, 80 + 28 * max(4, len(known)), legend=False)


def volume_figure(volumes: Sequence[Volume]) -> go.Figure:
    """Predictions over event time."""
    figure = go.Figure()
    figure.add_bar(
        x=[one.start for one in volumes], y=[one.n_rows for one in volumes], marker_color=CALM
    )
    figure.update_layout(bargap=0.15)
    figure.update_yaxes(title="predictions")
    return styled(figure, 240, legend=False)


def batches_figure(batches: Sequence[Any]) -> go.Figure:
    """Rows of batches by when they were ingested, and how many were set apart."""
    figure = go.Figure()
    x = [one.ingested_at for one in batches]
    kept = [one.n_rows if one.state == "ingested" else 0 for one in batches]
    common = {"x": x, "mode": "lines+markers"}
    figure.add_scatter(y=kept, name="ingested", marker_color=OURS, **common)
    apart = [one.n_quarantined for one in batches]
    if any(apart):
        figure.add_scatter(y=apart, name="quarantined", marker_color=BAD, **common)
    figure.update_yaxes(title="rows")
    return styled(figure, 260)
