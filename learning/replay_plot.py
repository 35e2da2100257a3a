"""Plots of a replay as SVG text: metrics with their bands over rows, and what happened when."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence

import numpy as np

from learning.replay_curve import Point

COLOURS = (
    "#0969da", "#1a7f37", "#cf222e", "#8250df", "#bf8700", "#0a7ea4", "#57606a", "#a475f9",
    "#e16f24", "#3fb950",
)  # fmt: skip
WIDTH, LEFT, RIGHT, TOP, BOTTOM = 960, 64, 28, 10, 34
CURVES_HEIGHT, LINE_HEIGHT = 380, 26

Curves = Sequence[tuple[str, tuple[Point, ...], bool]]


def plot_curves(curves: Curves) -> str:
    """One line per policy with its band; yardsticks are dashed and have none."""
    known = [p for _, points, _ in curves for p in points if p.value is not None]
    if not known:
        return "<p>There is nothing to draw.</p>"
    first, end = min(p.first for p in known), max(p.end for p in known)
    values = [p.value for p in known if p.value is not None]
    low, high = (float(v) for v in np.quantile(values, [0.0, 1.0]))
    spare = (high - low) * 0.08 or 0.05
    low, high = low - spare, high + spare

    def at(point: Point, value: float) -> str:
        x = _across((point.first + point.end) / 2, first, end)
        part = min(max((value - low) / (high - low), 0.0), 1.0)
        return f"{x:.1f},{TOP + (1 - part) * (CURVES_HEIGHT - TOP - BOTTOM):.1f}"

    parts = [_grid(low, high, first, end)]
    for place, (name, points, is_policy) in enumerate(curves):
        colour = COLOURS[place % len(COLOURS)]
        drawn = [p for p in points if p.value is not None]
        banded = [p for p in drawn if p.low is not None and p.high is not None]
        if is_policy and banded:
            edge = [at(p, p.high or 0.0) for p in banded]
            edge += [at(p, p.low or 0.0) for p in reversed(banded)]
            parts.append(
                f'<polygon points="{" ".join(edge)}" fill="{colour}" fill-opacity="0.10"/>'
            )
        line = " ".join(at(p, p.value or 0.0) for p in drawn)
        dash = "" if is_policy else ' stroke-dasharray="5 4"'
        parts.append(
            f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"{dash}>'
            f"<title>{html.escape(name)}</title></polyline>"
        )
    return _svg(CURVES_HEIGHT, parts)


def plot_marks(marks: Sequence[tuple[str, Sequence[tuple[int, str]]]], n_rows: int) -> str:
    """One line per policy with what happened at which row: promoted, refused, alarm."""
    height = TOP + LINE_HEIGHT * len(marks) + BOTTOM
    parts = []
    for place, (name, events) in enumerate(marks):
        y, colour = TOP + LINE_HEIGHT * (place + 0.5), COLOURS[place % len(COLOURS)]
        parts.append(
            f'<line x1="{LEFT + 60}" x2="{WIDTH - RIGHT}" y1="{y}" y2="{y}" stroke="#8885"/>'
            f'<text x="4" y="{y + 4}">{html.escape(name)}</text>'
        )
        parts += [_mark(_across(row, 0, n_rows, 60), y, kind, colour) for row, kind in events]
    for row in np.linspace(0, n_rows, 6).astype(int).tolist():
        x = _across(row, 0, n_rows, 60)
        parts.append(f'<text x="{x:.0f}" y="{height - 10}" text-anchor="middle">{row:,}</text>')
    return _svg(height, parts)


def _mark(x: float, y: float, kind: str, colour: str) -> str:
    if kind == "alarm":
        return f'<path d="M{x - 4:.1f} {y - 9} l4 -7 l4 7 z" fill="{colour}"/>'
    fill = colour if kind == "promoted" else "none"
    return f'<circle cx="{x:.1f}" cy="{y}" r="4" fill="{fill}" stroke="{colour}"/>'


def _across(row: float, first: int, end: int, indent: int = 0) -> float:
    left = LEFT + indent
    return left + (row - first) / max(end - first, 1) * (WIDTH - left - RIGHT)


def round_steps(low: float, high: float) -> list[float]:
    """The multiples of 1, 2 or 5 times a power of ten from low to high, about five of them."""
    rough = (high - low) / 5
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough * 0.999)
    return [step * n for n in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _grid(low: float, high: float, first: int, end: int) -> str:
    parts = []
    height = CURVES_HEIGHT - TOP - BOTTOM
    for value in round_steps(low, high):
        y = TOP + height * (1 - (value - low) / (high - low))
        parts.append(
            f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="#8884"/>'
            f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{value:.6g}</text>'
        )
    for row in np.linspace(first, end, 6).astype(int).tolist():
        x = _across(row, first, end)
        parts.append(
            f'<text x="{x:.0f}" y="{CURVES_HEIGHT - 10}" text-anchor="middle">{row:,}</text>'
        )
    return "".join(parts)


def _svg(height: float, parts: Sequence[str]) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" '
        f'role="img">{"".join(parts)}</svg>'
    )
