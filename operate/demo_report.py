"""The demo's page: one self-contained HTML file with the story in plots and tables."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from operate.demo_data import Story
from operate.demo_result import (
    Ledger,
    Outputs,
    direction,
    frozen_outputs,
    no_change_outputs,
    score,
    system_outputs,
)
from operate.demo_traffic import Traffic
from settings import Settings

N_POINTS = 60

STYLE = """
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; width: 100%; margin: 1rem 0; font-size: .9rem; }
th, td { text-align: left; padding: .35rem .6rem; border-bottom: 1px solid #8884; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; }
img { max-width: 100%; background: white; border-radius: 6px; }
.good { color: #1a7f37; } .bad { color: #cf222e; }
"""


def write_page(
    story: Story,
    settings: Settings,
    traffic: Traffic,
    ledger: Ledger,
    result: dict[str, Any],
) -> str:
    """HTML text of the page."""
    sides = {
        "the system": system_outputs(story, traffic.answers),
        "frozen first model": frozen_outputs(story, settings, ledger),
        "no change": no_change_outputs(story),
    }
    metric = result["metric"]
    title = html.escape(f"Perennial: {story.problem.name}")
    rows = [
        [name, *(f"{value:.4f}" for value in (result[key], result["by_tenth"][key][-1]))]
        for name, key in zip(sides, ("system", "frozen", "no_change"), strict=True)
    ]
    parts = [
        f"<h1>{title}</h1>",
        _verdict(result),
        f"<h2>{metric} ({direction(metric)})</h2>",
        _table(["", "all streamed rows", "last tenth"], rows, numbers=True),
        _image(_performance_plot(story, sides, ledger, metric)),
        "<h2>Drift</h2>",
        "<p>Share of features that drifted at each check; the alarm sounds above the line.</p>",
        _image(_drift_plot(story, ledger)),
        "<h2>What happened</h2>",
        _table(["", ""], [[name, str(value)] for name, value in _facts(result).items()]),
        "<h2>Every retrain, and why</h2>",
        _table(["when", "version", "trigger", "outcome", "why retrain", "the gate"], _log(result)),
    ]
    return (
        f"<!doctype html><html lang='en'><meta charset='utf-8'><title>{title}</title>"
        "<meta name='viewport' content='width=device-width'>"
        f"<style>{STYLE}</style><body>{''.join(parts)}</body></html>"
    )


def _verdict(result: dict[str, Any]) -> str:
    if result["ok"]:
        return '<p class="good"><strong>All promises kept.</strong></p>'
    broken = html.escape("; ".join(result["broken_promises"]))
    return f"<p class='bad'><strong>Not as promised:</strong> {broken}</p>"


def _facts(result: dict[str, Any]) -> dict[str, Any]:
    return {
        "rows": f"{result['rows']:,}",
        "drift alarms": result["drift_alarms"],
        "retrains": result["retrains"],
        "promotions": result["promotions"],
        "refusals": result["refusals"],
        "requests": f"{result['requests']:,}",
        "failed requests": result["failed"],
        "answered by a wrong version": result["wrong_version"],
        "p50 / p95": f"{result['p50_ms']:.1f} ms / {result['p95_ms']:.1f} ms",
        "seconds of training": f"{result['training_seconds']:.1f}",
    }


def _log(result: dict[str, Any]) -> list[list[str]]:
    return [
        [
            f"{d['clock']:%Y-%m-%d %H:%M}",
            f"v{d['version']}",
            d["trigger"] or "",
            d["outcome"],
            d["why"] or "",
            d["verdict"] or "",
        ]
        for d in result["decisions"]
    ]


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], numbers: bool = False) -> str:
    kind = ' class="number"' if numbers else ""

    def cells(tag: str, row: Sequence[str]) -> str:
        return "".join(
            f"<{tag}{kind if place else ''}>{html.escape(str(cell))}</{tag}>"
            for place, cell in enumerate(row)
        )

    body = "".join(f"<tr>{cells('td', row)}</tr>" for row in rows)
    top = f"<tr>{cells('th', head)}</tr>" if any(head) else ""
    return f"<table>{top}{body}</table>"


def _image(figure: Figure) -> str:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    data = base64.b64encode(buffer.getvalue()).decode()
    return f"<img alt='plot' src='data:image/png;base64,{data}'>"


def _performance_plot(
    story: Story, sides: dict[str, Outputs], ledger: Ledger, metric: str
) -> Figure:
    figure = Figure(figsize=(9, 3.6), dpi=110, layout="constrained")
    axes = figure.subplots()
    n_rows = len(story) - story.n_first
    edges = np.linspace(0, n_rows, N_POINTS + 1).astype(int)
    for name, outputs in sides.items():
        if name == "no change" and metric == "roc_auc":
            continue
        values = [score(story, outputs, slice(max(0, b - n_rows // 15), b)) for b in edges[1:]]
        axes.plot(edges[1:] + story.n_first, values, label=name, linewidth=1.6)
    for act in ledger.releases[1:]:
        if act.state == "promoted":
            axes.axvline(int((story.times <= act.clock).sum()), color="green", alpha=0.4)
    if story.drift_row is not None:
        axes.axvline(story.drift_row, color="red", linestyle="--", label="drift begins")
    axes.set_xlabel("row (green lines: a new model takes over)")
    axes.set_ylabel(metric)
    axes.legend(loc="best", fontsize=8)
    return figure


def _drift_plot(story: Story, ledger: Ledger) -> Figure:
    figure = Figure(figsize=(9, 2.4), dpi=110, layout="constrained")
    axes = figure.subplots()
    checks = [row for row in ledger.drift if row.drift_share is not None]
    at = [int((story.times <= row.clock).sum()) for row in checks]
    colours = ["#cf222e" if row.is_drifted else "#57606a" for row in checks]
    axes.bar(at, [row.drift_share for row in checks], width=story.block_rows * 0.7, color=colours)
    axes.axhline(story.problem.drift.share, color="black", linewidth=0.8)
    axes.set_ylim(0, 1)
    axes.set_xlabel("row")
    axes.set_ylabel("drift share")
    return figure
