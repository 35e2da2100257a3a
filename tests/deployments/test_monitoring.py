"""Prometheus' rules and Grafana's dashboards: they hold, and ask only for what there is."""

from __future__ import annotations

import json
import re
import runpy
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from api.live_figures import Figure
from api.metrics import Metrics
from settings import CHECKOUT
from storage.values import Facts

PROMETHEUS = CHECKOUT / "deployments" / "prometheus"
GRAFANA = CHECKOUT / "deployments" / "grafana"
RULE_FILES = sorted((PROMETHEUS / "rules").glob("*.yml"))
SUFFIXES = re.compile(r"_(bucket|sum|count)$")


@pytest.fixture
def promtool() -> str:
    """Path of promtool; tests that ask for it are skipped where there is none."""
    found = shutil.which("promtool")
    if found is None:
        pytest.skip("promtool is not on this machine: apt-get install prometheus")
    return found


def run(*command: str) -> None:
    """Run a command; what it says is the failure's message."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=CHECKOUT)
    assert done.returncode == 0, done.stdout + done.stderr


def rules() -> list[dict[str, Any]]:
    """All recording and alert rules."""
    documents = [yaml.safe_load(file.read_text()) for file in RULE_FILES]
    return [rule for each in documents for group in each["groups"] for rule in group["rules"]]


def dashboards() -> dict[str, dict[str, Any]]:
    """The dashboards, by the name of their file."""
    files = (GRAFANA / "dashboards").glob("*.json")
    return {file.stem: json.loads(file.read_text()) for file in files}


def targets() -> list[dict[str, str]]:
    """The queries of all panels, with their legends."""
    return [
        target
        for board in dashboards().values()
        for panel in board["panels"]
        for target in panel["targets"]
    ]


def every_number() -> str:
    """The exposition of an API where everything that can happen has happened."""
    metrics = Metrics()
    metrics.observe("/predict", 200, 0.001)
    metrics.predicted("churn", "yes")
    metrics.swapped("churn", "1")
    metrics.refused("sha")
    metrics.labelled({"churn": [Figure("1", 10, 0.9, 0.8, 0.7)]})
    facts = Facts(
        1.0, 0.2, True, "auc", 0.8, 0.7, 0.9, 0.6, 100, False, 2.0, 3.0, (("champion", 1),), 4, 30.0
    )
    return metrics.text(5, 6.0, {"churn": facts}).decode()


def labels_by_metric(text: str) -> dict[str, set[str]]:
    """Each metric of an exposition with the labels that it carries."""
    found: dict[str, set[str]] = {}
    for line in text.splitlines():
        if match := re.match(r"(\w+)(?:\{(.*)\})? ", line):
            found.setdefault(match[1], set()).update(re.findall(r'(\w+)="', match[2] or ""))
    return found


@pytest.mark.parametrize("file", RULE_FILES, ids=lambda file: file.name)
def test_prometheus_accepts_the_rules(promtool: str, file: Path) -> None:
    run(promtool, "check", "rules", str(file))


@pytest.mark.parametrize("name", ["prometheus.yml", "local.yml"])
def test_prometheus_accepts_the_configuration(promtool: str, name: str) -> None:
    run(promtool, "check", "config", "--syntax-only", str(PROMETHEUS / name))


def test_alerts_sound_when_they_should_and_only_then(promtool: str) -> None:
    file = CHECKOUT / "tests" / "deployments" / "alert_rules_test.yml"
    run(promtool, "test", "rules", str(file))
    tested = {
        case["alertname"]
        for test in yaml.safe_load(file.read_text())["tests"]
        for case in test.get("alert_rule_test", ())
        if case["exp_alerts"]
    }
    assert tested == {rule["alert"] for rule in rules() if "alert" in rule}


def test_every_alert_says_what_it_is_and_what_to_do() -> None:
    for rule in rules():
        if "alert" in rule:
            assert rule["labels"]["severity"] in ("warning", "critical")
            assert set(rule["annotations"]) == {"summary", "action"}


def test_every_metric_that_is_asked_for_exists_with_its_labels() -> None:
    exposed = labels_by_metric(every_number())
    recorded = {rule["record"] for rule in rules() if "record" in rule}
    asked = [rule["expr"] for rule in rules()] + [target["expr"] for target in targets()]
    for query in asked:
        for name, selector in re.findall(r"\b(perennial[\w:]+)(\{[^}]*\})?", query):
            if ":" in name:
                assert name in recorded, query
                continue
            if name == "perennial" or f'"{name}"' in query:
                continue
            assert name in exposed, query
            assert set(re.findall(r"(\w+)(?:!?=~?)", selector)) <= exposed[name], query


def test_every_legend_names_labels_that_the_query_keeps() -> None:
    exposed = labels_by_metric(every_number())
    kept = {"perennial:requests:rate5m": {"route"}, "perennial:errors:rate5m": {"route"},
            "perennial:predictions:rate5m": {"problem", "prediction"}}  # fmt: skip
    for target in targets():
        named = set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
        if by := re.search(r"sum by \((.*?)\)", target["expr"]):
            assert named <= set(by[1].split(", "))
        elif named:
            metric = re.search(r"perennial[\w:]+", target["expr"])
            assert metric is not None
            assert named <= kept.get(metric[0], exposed.get(metric[0], set())), target


def test_the_dashboards_are_what_their_script_writes() -> None:
    made = runpy.run_path(str(GRAFANA / "make_dashboards.py"))
    assert set(made["DASHBOARDS"]) == set(dashboards())
    for name in made["DASHBOARDS"]:
        assert (GRAFANA / "dashboards" / f"{name}.json").read_text() == made["text_of"](name)


def test_panels_stand_side_by_side_and_ask_the_provisioned_source() -> None:
    source = yaml.safe_load(
        (GRAFANA / "provisioning" / "datasources" / "prometheus.yml").read_text()
    )["datasources"][0]
    for board in dashboards().values():
        taken: set[tuple[int, int]] = set()
        for panel in board["panels"]:
            assert panel["datasource"]["uid"] == source["uid"]
            place = panel["gridPos"]
            cells = {
                (x, y)
                for x in range(place["x"], place["x"] + place["w"])
                for y in range(place["y"], place["y"] + place["h"])
            }
            assert not cells & taken
            assert max(x for x, _ in cells) < 24
            taken |= cells
