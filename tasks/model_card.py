"""The model card and charts of a version: what a person reads before believing in it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from sqlalchemy import Row

from storage.manifest import Manifest
from tasks.artifacts import show
from tasks.run import Run

CARD, CHARTS = "model_card.md", "charts"
N_FEATURES = 15


def complete_folder(folder: Path, evaluation: str, row: Row[Any], manifest: Manifest) -> None:
    """Draw the charts of a training folder where they are missing, and write its card."""
    (folder / CARD).write_text(model_card(row, manifest))
    if (folder / CHARTS).is_dir():
        return
    from learning.charts import evaluation_charts  # matplotlib takes a second

    table = pd.read_parquet(folder / evaluation)
    columns = [name for name in table if str(name).startswith("challenger_")]
    charts = evaluation_charts(
        manifest.task,
        manifest.classes,
        table["y"].to_numpy(dtype="float64"),
        table[columns].to_numpy(dtype="float64"),
        0.5 if manifest.threshold is None else manifest.threshold,
        manifest.importance,
        row.figures or {},
    )
    drawn = folder / f"{CHARTS}.part"
    drawn.mkdir(exist_ok=True)
    for name, content in charts.items():
        (drawn / name).write_bytes(content)
    drawn.rename(folder / CHARTS)


def show_card(run: Run, row: Row[Any], manifest: Manifest, mlflow_run_id: str) -> None:
    """The card as an artifact, with where MLflow keeps the charts."""
    uri = run.settings.tracking_uri
    place = f"run `{mlflow_run_id}`"
    if uri.startswith("http"):
        place = f"[run {mlflow_run_id}]({uri}/#/runs/{mlflow_run_id})"
    card = model_card(row, manifest)
    text = f"{card}\nCharts, evaluation and trials: MLflow, {place}\n"
    show(run, "model-card", text, f"How version {row.version} was trained and judged.")


def model_card(row: Row[Any], manifest: Manifest) -> str:
    """What a version is, what it was trained on, how good it is and where it is not (Markdown)."""
    return "\n".join([*_head(row, manifest), *_quality(row.figures or {}, manifest)]) + "\n"


def _head(row: Row[Any], manifest: Manifest) -> Iterator[str]:
    yield f"# {manifest.problem}, version {manifest.version}"
    yield f"\nState: **{row.state}**. {row.reason or ''}"
    yield "\n## What it is\n"
    yield f"- predicts `{manifest.target}` ({manifest.task}) from {len(manifest.features)} features"
    settings = ", ".join(f"{name} {value}" for name, value in manifest.parameters.items())
    yield f"- {manifest.model_kind} ({settings})"
    yield (
        f"- trained at {_minute(manifest.trained_at)} on {manifest.n_training_rows:,} rows from "
        f"{_minute(manifest.training_start)} to {_minute(manifest.training_end)}, window `"
        f"{manifest.training_window}`, data version {manifest.data_version}"
    )
    parity = manifest.parity
    yield (
        f"- its graph differs by {parity['largest_difference']:.1e} at most on "
        f"{int(parity['n_rows']):,} rows, allowed are {parity['tolerance']:g}"
    )
    if manifest.threshold is not None:
        yield (
            f"- says yes from {manifest.threshold:.3f} upwards; a false alarm costs "
            f"{manifest.cost_false_positive:g}, a miss {manifest.cost_false_negative:g}"
        )


def _minute(moment: str) -> str:
    return f"{pd.Timestamp(moment):%Y-%m-%d %H:%M}"


def _quality(figures: Mapping[str, Any], manifest: Manifest) -> Iterator[str]:
    yield f"\n## On {figures.get('n_rows', 'its')} newer rows that it was not trained on\n"
    yield "| metric | value |\n|---|---|"
    for name, value in manifest.metrics.items():
        yield f"| {name} | {_number(value)} |"
    if confusion := figures.get("confusion"):
        names = [_cell(name) for name in confusion["classes"]]
        yield "\n| actual \\ predicted | " + " | ".join(names) + " |"
        yield "|---" * (len(names) + 1) + "|"
        for name, counts in zip(names, confusion["counts"], strict=True):
            yield f"| {name} | " + " | ".join(str(count) for count in counts) + " |"
    yield from _parts(f"{manifest.metric} by slice", figures.get("slices", ()))
    blocks = [
        {**one, "name": f"{one['start']} to {one['end']}"} for one in figures.get("blocks", ())
    ]
    yield from _parts(f"{manifest.metric} by time", blocks)
    top = sorted(manifest.importance.items(), key=lambda item: -item[1])[:N_FEATURES]
    yield f"\n| feature | what {manifest.metric} loses when it is shuffled |\n|---|---|"
    yield from (f"| {_cell(name)} | {_number(value)} |" for name, value in top)


def _parts(title: str, parts: Any) -> Iterator[str]:
    if not parts:
        return
    yield f"\n| {title} | value | rows |\n|---|---|---|"
    for part in parts:
        yield f"| {_cell(part['name'])} | {_number(part['value'])} | {part['n_rows']} |"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
