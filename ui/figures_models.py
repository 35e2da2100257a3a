"""Pictures of an evaluation, from the numbers that were kept with the version."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

import plotly.graph_objects as go

from ui.figures import styled
from ui.words import BAD, CALM, MUTED, OURS

MOST_BARS = 20
MOST_COUNTED = 15


def evaluation_pictures(figures: Mapping[str, Any]) -> Iterator[tuple[str, str, go.Figure]]:
    """Title, what it shows in words, and figure, of all that the numbers allow."""
    if confusion := figures.get("confusion"):
        yield "Confusion matrix", "counts by actual and predicted class", _confusion(confusion)
    if roc := figures.get("roc"):
        yield "ROC", "true against false positive rate", _roc(roc)
    if precision := figures.get("precision_recall"):
        yield "Precision and recall", "precision against recall", _precision_recall(precision)
    if calibration := figures.get("calibration"):
        yield "Calibration", "observed share against foretold chance", _calibration(calibration)
    if scatter := figures.get("scatter"):
        yield "Predicted and actual", "predicted against actual values", _scatter(scatter)
    if residuals := figures.get("residuals"):
        yield "Errors", "how often it missed by how much", _residuals(residuals)
    if importance := figures.get("importance"):
        yield "Importance", "what the metric loses when a feature is shuffled", _bars(importance)


def _confusion(found: Mapping[str, Any]) -> go.Figure:
    classes, counts = [str(name) for name in found["classes"]], found["counts"]
    shares = [[n / max(1, sum(row)) for n in row] for row in counts]
    text = counts if len(classes) <= MOST_COUNTED else None
    figure = go.Figure()
    figure.add_heatmap(
        z=shares,
        x=classes,
        y=classes,
        text=text,
        texttemplate="%{text}" if text else None,
        colorscale=[[0.0, "rgba(47,158,110,0.08)"], [1.0, OURS]],
        showscale=False,
        xgap=2,
        ygap=2,
        hovertemplate="actual %{y}, predicted %{x}: %{z:.0%} of the row<extra></extra>",
    )
    figure.update_xaxes(title="predicted", type="category", showgrid=False)
    figure.update_yaxes(title="actual", type="category", autorange="reversed", showgrid=False)
    return styled(figure, 340, legend=False)


def _curves(found: Mapping[str, Any], x: str, y: str, area: str) -> go.Figure:
    figure = go.Figure()
    for name, curve in found.items():
        title = f"{name} ({area} {curve['area']:.3f})"
        line = {"color": OURS} if len(found) == 1 else {}
        figure.add_scatter(x=curve["x"], y=curve["y"], mode="lines", name=title, line=line)
    figure.update_xaxes(title=x, range=[-0.01, 1.01]).update_yaxes(title=y, range=[-0.01, 1.02])
    return styled(figure, 340)


def _roc(found: Mapping[str, Any]) -> go.Figure:
    figure = _curves(found, "false positive rate", "true positive rate", "AUC")
    return _guess(figure, [0, 1], [0, 1], "chance")


def _precision_recall(found: Mapping[str, Any]) -> go.Figure:
    figure = _curves(found, "recall", "precision", "AP")
    if len(found) == 1:
        at = next(iter(found.values())).get("share")
        if at is not None:
            _guess(figure, [0, 1], [at, at], "chance")
    return figure


def _calibration(found: Mapping[str, Any]) -> go.Figure:
    figure = go.Figure()
    for name, bins in found.items():
        figure.add_scatter(
            x=bins["foretold"],
            y=bins["happened"],
            mode="lines+markers",
            name=name,
            customdata=bins["n_rows"],
            line={"color": OURS} if len(found) == 1 else {},
            hovertemplate="foretold %{x:.3f}, happened %{y:.3f} (%{customdata} rows)",
        )
    figure.update_xaxes(title="foretold chance").update_yaxes(title="observed share")
    return _guess(styled(figure, 340), [0, 1], [0, 1], "perfect")


def _guess(figure: go.Figure, x: Sequence[float], y: Sequence[float], name: str) -> go.Figure:
    line = {"color": MUTED, "dash": "dot", "width": 1}
    return figure.add_scatter(x=x, y=y, mode="lines", line=line, name=name, hoverinfo="skip")


def _scatter(found: Mapping[str, Any]) -> go.Figure:
    figure = go.Figure()
    marker = {"size": 5, "color": CALM, "opacity": 0.5}
    figure.add_scatter(
        x=found["actual"], y=found["predicted"], mode="markers", marker=marker, name="rows"
    )
    ends = [min(found["actual"]), max(found["actual"])]
    figure.update_xaxes(title="actual").update_yaxes(title="predicted")
    return _guess(styled(figure, 340), ends, ends, "perfect")


def _residuals(found: Mapping[str, Any]) -> go.Figure:
    edges, counts = found["edges"], found["counts"]
    middles = [(low + high) / 2 for low, high in pairwise(edges)]
    figure = go.Figure()
    figure.add_bar(x=middles, y=counts, marker_color=CALM)
    figure.update_layout(bargap=0.02)
    figure.update_xaxes(title="predicted less actual").update_yaxes(title="rows")
    return styled(figure, 340, legend=False)


def _bars(importance: Mapping[str, float]) -> go.Figure:
    top = sorted(importance.items(), key=lambda item: item[1])[-MOST_BARS:]
    return contributions_figure(top, "loss of the metric")


def contributions_figure(pairs: Sequence[tuple[str, float]], title: str) -> go.Figure:
    """Horizontal bars, the last one on top; what lowers in red."""
    figure = go.Figure()
    figure.add_bar(
        y=[name for name, _ in pairs],
        x=[value for _, value in pairs],
        orientation="h",
        marker_color=[OURS if value >= 0 else BAD for _, value in pairs],
    )
    figure.update_xaxes(title=title).update_yaxes(type="category", automargin=True)
    return styled(figure, 110 + 22 * max(5, len(pairs)), legend=False)
