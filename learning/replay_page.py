"""A replay's report: one self-contained HTML page, whose plots are drawn as SVG."""

from __future__ import annotations

import html
from collections.abc import Sequence

from learning.replay import ReplayResult
from learning.replay_plot import COLOURS, plot_curves, plot_marks
from learning.replay_result import PolicyResult
from learning.replay_table import cells, facts

STYLE = """
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 64rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; width: 100%; margin: 1rem 0; font-size: .9rem; }
th, td { text-align: right; padding: .3rem .6rem; border-bottom: 1px solid #8884;
  font-variant-numeric: tabular-nums; }
th:first-child, td:first-child, .log th, .log td { text-align: left; vertical-align: top; }
svg { width: 100%; height: auto; }
svg text { font: 12px system-ui, sans-serif; fill: currentColor; }
pre { background: #8882; padding: .8rem 1rem; border-radius: 6px; overflow-x: auto; }
.advice { font-size: 1.15rem; }
.key { display: inline-block; width: .8em; height: .8em; border-radius: 2px; margin-right: .3em; }
label { margin-right: 1em; white-space: nowrap; }
"""


def write_page(result: ReplayResult, title: str, lines: str) -> str:
    """HTML text of the page; ``lines`` are what to put into the problem file, if anything."""
    name = html.escape(f"Perennial: replay of {title}")
    advice = f'<p class="advice"><strong>{html.escape(result.advice.sentence)}</strong></p>'
    if lines:
        advice += f"<p>In the problem file:</p><pre>{html.escape(lines)}</pre>"
    shown = [one for one in result.results if one.curve]
    parts = [
        f"<h1>{name}</h1>",
        advice,
        f"<p>{html.escape(facts(result))}.</p>",
        table(*cells(result)),
        f"<h2>{html.escape(result.metric)} over time</h2>",
        "<p>Each point is a stretch of the stream, judged as the labels came; "
        "the band is its 95% interval.</p>",
        plot_curves([(one.name, one.curve, one.is_policy) for one in shown]),
        _keys(shown),
        "<h2>Trainings</h2><p>Filled: promoted. Hollow: refused by the gate. "
        "Triangle: an alarm began.</p>",
        plot_marks(_marks(result), result.n_rows),
        "<h2>Every training, and why</h2>",
        *(_log(one) for one in result.results if one.trials),
    ]
    return (
        f"<!doctype html><html lang='en'><meta charset='utf-8'><title>{name}</title>"
        "<meta name='viewport' content='width=device-width'>"
        f"<style>{STYLE}</style><body>{''.join(parts)}</body></html>"
    )


def table(head: Sequence[str], rows: Sequence[Sequence[str]], kind: str = "") -> str:
    """An HTML table of text, escaped."""

    def cells_of(tag: str, row: Sequence[str]) -> str:
        return "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in row)

    body = "".join(f"<tr>{cells_of('td', row)}</tr>" for row in rows)
    return f'<table class="{kind}"><tr>{cells_of("th", head)}</tr>{body}</table>'


def _keys(shown: Sequence[PolicyResult]) -> str:
    keys = [
        f'<label><span class="key" style="background:{COLOURS[place % len(COLOURS)]}"></span>'
        f"{html.escape(one.name)}</label>"
        for place, one in enumerate(shown)
    ]
    return f"<p>{''.join(keys)}</p>"


def _marks(result: ReplayResult) -> list[tuple[str, list[tuple[int, str]]]]:
    marks = []
    for one in result.results:
        if one.is_policy:
            tried = [(trial.position, trial.attempt.state) for trial in one.trials]
            tried += [(back.position, "promoted") for back in one.returns]
            marks.append((one.name, [*tried, *((row, "alarm") for row in one.alarm_rows)]))
    return marks


def _log(one: PolicyResult) -> str:
    rows = [
        (
            f"{trial.position:,}",
            f"{trial.attempt.clock:%Y-%m-%d %H:%M}",
            trial.attempt.trigger or "",
            trial.attempt.state,
            trial.why,
            trial.verdict,
        )
        for trial in one.trials
    ]
    rows += [
        (f"{back.position:,}", "", "", "returned", f"made at row {back.made_at:,}", back.why)
        for back in one.returns
    ]
    rows.sort(key=lambda row: int(row[0].replace(",", "")))
    head = ("row", "time", "trigger", "outcome", "why", "the gate")
    n_trained = len(one.trials)
    title = f"{html.escape(one.name)}: {n_trained} training{'s' * (n_trained != 1)}"
    if one.returns:
        title += f", {len(one.returns)} former champion{'s' * (len(one.returns) != 1)} back"
    return f"<details><summary>{title}</summary>{table(head, rows, 'log')}</details>"
