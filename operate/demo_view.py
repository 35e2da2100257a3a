"""The demo on the terminal: progress, the latest happenings, the final table."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from operate.demo_result import direction

STYLES = {"good": "green", "warning": "yellow", "critical": "red", "info": ""}
NEWEST = 12


class View:
    """A live picture on a terminal; plain lines where there is none."""

    def __init__(self, title: str, n_rows: int, console: Console) -> None:
        self._console = console
        self._title = title
        self._lines: list[tuple[str, str]] = []
        self._figures: dict[str, str] = {}
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=40),
            TextColumn("{task.completed:,}/{task.total:,} rows"),
            TimeElapsedColumn(),
        )
        self._task = self._progress.add_task("stream", total=n_rows)
        self._live = Live(console=console, auto_refresh=False, get_renderable=self._picture)
        self._last = 0.0

    def __enter__(self) -> View:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._console.is_terminal:
            self._refresh(always=True)
            self._live.stop()

    def say(self, text: str, severity: str = "info") -> None:
        """Add a happening."""
        line = f"{time.strftime('%H:%M:%S')}  {text}"
        self._lines.append((line, STYLES.get(severity, "")))
        if self._console.is_terminal:
            self._refresh(always=True)
        else:
            self._console.print(line, markup=False, highlight=False, soft_wrap=True)

    def advance(self, n_rows: int, **figures: str) -> None:
        """Move the progress bar and the figures below it."""
        self._progress.update(self._task, completed=n_rows)
        self._figures.update(figures)
        self._refresh()

    def _refresh(self, always: bool = False) -> None:
        if self._console.is_terminal and (always or time.monotonic() - self._last > 0.2):
            self._last = time.monotonic()
            self._live.refresh()

    def _picture(self) -> Panel:
        figures = "   ".join(f"{name} {value}" for name, value in self._figures.items())
        lines = [Text(line, style=style) for line, style in self._lines[-NEWEST:]]
        return Panel(
            Group(self._progress, Text(figures, style="bold"), Text(""), *lines),
            title=self._title,
        )


def show_summary(result: dict[str, Any], console: Console) -> None:
    """The table at the end."""
    metric = result["metric"]
    table = Table(title=f"{result['problem']}: {result['rows']:,} rows, {result['task']}")
    table.add_column(f"{metric} ({direction(metric)})")
    for name in ("the system", "frozen first model", "no change"):
        table.add_column(name, justify="right")
    sides = ("system", "frozen", "no_change")
    table.add_row("all streamed rows", *(f"{result[side]:.4f}" for side in sides))
    tenths = result["by_tenth"]
    table.add_row("last tenth", *(f"{tenths[side][-1]:.4f}" for side in sides))
    console.print(table)
    facts = Table(show_header=False)
    for name, text in _facts(result):
        facts.add_row(name, text)
    console.print(facts)
    for decision in result["decisions"]:
        line = f"{decision['clock']:%Y-%m-%d %H:%M} v{decision['version']} {decision['outcome']} "
        console.print(f"{line}({decision['trigger']}): {decision['verdict']}", markup=False)
    if result["broken_promises"]:
        console.print("Not as promised:", style="bold red")
        for text in result["broken_promises"]:
            console.print(f"  - {text}", markup=False)
    else:
        console.print("All promises kept.", style="bold green")
    console.print(f"report: {result['report']}", markup=False, soft_wrap=True)


def _facts(result: dict[str, Any]) -> list[tuple[str, str]]:
    return [
        ("drift alarms", str(result["drift_alarms"])),
        ("retrains", str(result["retrains"])),
        ("promotions / refusals", f"{result['promotions']} / {result['refusals']}"),
        ("requests / failed", f"{result['requests']:,} / {result['failed']}"),
        ("answered by a wrong version", str(result["wrong_version"])),
        ("latency p50 / p95", f"{result['p50_ms']:.1f} ms / {result['p95_ms']:.1f} ms"),
        ("seconds of training", f"{result['training_seconds']:.1f}"),
    ]
