"""Writes the Grafana dashboards: `python deployments/grafana/make_dashboards.py`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent / "dashboards"
DATASOURCE = {"type": "prometheus", "uid": "perennial"}
WIDTH = 24
GREEN, ORANGE, RED = "green", "orange", "red"
# From which value on a panel turns to which colour.
Steps = Sequence[tuple[float | None, str]]


@dataclass(frozen=True)
class Panel:
    """One panel: its queries with their legends, and how its numbers are read."""

    title: str
    queries: dict[str, str]
    unit: str = "short"
    kind: str = "timeseries"
    steps: Steps = ((None, GREEN),)
    width: int = 12
    height: int = 8
    text: str = ""
    names: dict[int, str] = field(default_factory=dict)


P = '{problem=~"$problem"}'
SERVICE = (
    Panel("API", {"": 'min(up{job="perennial"})'}, kind="stat", width=4, height=4,
          steps=((None, RED), (1, GREEN)), names={0: "down", 1: "up"}),
    Panel("Requests a second", {"": "sum(perennial:requests:rate5m)"}, "reqps", "stat",
          width=5, height=4),
    Panel("Errors", {"": "perennial:error_share:5m"}, "percentunit", "stat",
          ((None, GREEN), (0.001, ORANGE), (0.01, RED)), 5, 4,
          "Share of requests answered with 5xx in five minutes; the alert is at 1%."),
    Panel("p95 of a prediction", {"": "perennial:predict_seconds:p95_5m"}, "s", "stat",
          ((None, GREEN), (0.02, ORANGE), (0.05, RED)), 5, 4, "The alert is at 50 ms."),
    Panel("Rows not in SQL", {"": "sum(perennial_journal_backlog_rows)"}, "short", "stat",
          ((None, GREEN), (1000, ORANGE), (100_000, RED)), 5, 4,
          "Predictions and feedback that wait in the journal; they are safe there."),
    Panel("Requests by route", {"{{route}}": "perennial:requests:rate5m"}, "reqps"),
    Panel("Errors by route", {"{{route}}": "perennial:errors:rate5m"}, "reqps",
          text="Nothing is shown while there is none."),
    Panel("Time of a prediction", {"p50": "perennial:predict_seconds:p50_5m",
          "p95": "perennial:predict_seconds:p95_5m", "p99": "perennial:predict_seconds:p99_5m"},
          "s", steps=((None, GREEN), (0.05, RED))),
    Panel("Answers by status", {"{{status}}":
          "sum by (status) (rate(perennial_requests_total[5m]))"}, "reqps"),
    Panel("Age of the oldest row not in SQL", {"": "max(perennial_journal_oldest_seconds)"}, "s",
          steps=((None, GREEN), (60, RED))),
    Panel("Models taken into service, and refused", {
          "taken": "increase(perennial_swaps_total[1h])",
          "refused: {{code}}": "increase(perennial_refusals_total[1h])"}),
)  # fmt: skip
MODEL = (
    Panel("Answers", {"{{problem}} version {{version}}": f"perennial_model_info{P}"},
          kind="stat", width=6, height=4, text="The version that answers, by problem."),
    Panel("Drift", {"{{problem}}": f"perennial_drift_open{P}"}, kind="stat", width=4, height=4,
          steps=((None, GREEN), (1, ORANGE)), names={0: "none", 1: "open"}),
    Panel("Live performance", {"{{problem}}": f"perennial_live_below_floor{P}"}, kind="stat",
          width=4, height=4, steps=((None, GREEN), (1, RED)), names={0: "fine", 1: "below floor"}),
    Panel("Since the last run", {"{{problem}}": f"perennial_last_run_age_seconds{P}"}, "s", "stat",
          ((None, GREEN), (120, ORANGE), (300, RED)), 5, 4),
    Panel("Age of the model", {"{{problem}}": f"perennial_model_age_seconds{P}",
          "limit of {{problem}}": f"perennial_model_age_limit_seconds{P}"}, "s", "stat",
          width=5, height=4, text="The policy retrains at the limit."),
    Panel("Live metric, its interval and its floor", {
          "{{problem}} {{metric}}": f"perennial_live_metric{P}",
          "{{problem}} low": f"perennial_live_metric_low{P}",
          "{{problem}} high": f"perennial_live_metric_high{P}",
          "{{problem}} floor": f"perennial_live_metric_floor{P}"},
          text="As the loop measured it last, on mature labels."),
    Panel("As labels arrive", {
          "{{problem}} v{{version}} accuracy": f"perennial_live_accuracy{P}",
          "{{problem}} v{{version}} AUC": f"perennial_live_auc{P}"}, "percentunit",
          text="Over the newest thousand labelled predictions of each version."),
    Panel("Share of drifted features", {"{{problem}}": f"perennial_drift_share{P}"},
          "percentunit"),
    Panel("Mean absolute error as labels arrive", {
          "{{problem}} v{{version}}": f"perennial_live_mean_absolute_error{P}"},
          text="Regressions only."),
    Panel("Predictions by class", {
          "{{problem}} {{prediction}}": f"perennial:predictions:rate5m{P}"}, "ops"),
    Panel("Labels the figures rest on", {
          "{{problem}} v{{version}} as they arrive": f"perennial_live_labels{P}",
          "{{problem}} mature": f"perennial_live_metric_rows{P}"}),
    Panel("Versions by what became of them", {"{{problem}} {{state}}": f"perennial_versions{P}"}),
    Panel("Rows in quarantine", {"{{problem}}": f"perennial_quarantined_rows{P}"}),
)  # fmt: skip
DASHBOARDS = {"service": ("Perennial: service", SERVICE), "model": ("Perennial: model", MODEL)}


def dashboard(name: str) -> dict[str, Any]:
    """One dashboard as Grafana reads it; the panels flow from left to right."""
    title, panels = DASHBOARDS[name]
    placed, x, y = [], 0, 0
    for number, panel in enumerate(panels, 1):
        if x + panel.width > WIDTH:
            x, y = 0, y + panels[number - 2].height
        place = {"x": x, "y": y, "w": panel.width, "h": panel.height}
        placed.append({"id": number, "gridPos": place, **_panel(panel)})
        x += panel.width
    return {
        "uid": f"perennial-{name}",
        "title": title,
        "tags": ["perennial"],
        "timezone": "browser",
        "editable": False,
        "schemaVersion": 39,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {"list": [_problem()] if name == "model" else []},
        "panels": placed,
    }


def _panel(panel: Panel) -> dict[str, Any]:
    steps = [{"value": value, "color": color} for value, color in panel.steps]
    defaults: dict[str, Any] = {
        "unit": panel.unit,
        "min": 0 if panel.kind == "timeseries" and panel.unit != "short" else None,
        "thresholds": {"mode": "absolute", "steps": steps},
        "color": {"mode": "thresholds" if panel.kind == "stat" else "palette-classic"},
    }
    if panel.names:
        options = {str(value): {"text": text} for value, text in panel.names.items()}
        defaults["mappings"] = [{"type": "value", "options": options}]
    if panel.kind == "timeseries" and len(steps) > 1:
        defaults["custom"] = {"thresholdsStyle": {"mode": "line"}}
    shown = "value_and_name" if "{{" in " ".join(panel.queries) else "value"
    options = {"textMode": shown, "colorMode": "background"}
    return {
        "type": panel.kind,
        "title": panel.title,
        "description": panel.text,
        "datasource": DATASOURCE,
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": options if panel.kind == "stat" else {"legend": {"placement": "bottom"}},
        "targets": [
            {"refId": chr(65 + place), "datasource": DATASOURCE, "expr": query,
             "legendFormat": legend or panel.title, "instant": panel.kind == "stat"}
            for place, (legend, query) in enumerate(panel.queries.items())
        ],
    }  # fmt: skip


def _problem() -> dict[str, Any]:
    return {
        "name": "problem",
        "label": "Problem",
        "type": "query",
        "datasource": DATASOURCE,
        "query": {"query": "label_values(perennial_model_info, problem)", "refId": "problem"},
        "refresh": 2,
        "includeAll": True,
        "multi": True,
        "allValue": ".*",
        "current": {"text": "All", "value": "$__all"},
    }


def text_of(name: str) -> str:
    """The file of a dashboard."""
    return json.dumps(dashboard(name), indent=1, ensure_ascii=False) + "\n"


def main() -> None:
    """Write both files."""
    for name in DASHBOARDS:
        (FOLDER / f"{name}.json").write_text(text_of(name))


if __name__ == "__main__":
    main()
