"""What the demo promises, measured from what was answered and what the tables say."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
from sqlalchemy import Row, select
from sqlalchemy.engine import Engine

from learning.metrics import LOWER_IS_BETTER, gain
from learning.onnx_export import run_graph
from learning.performance import chosen_metric
from learning.replay_curve import over_models
from learning.rows import Floats
from operate.demo_data import Story
from operate.demo_traffic import Answer, Traffic
from settings import Settings
from storage import models, releases, reports
from storage.bundles import read_bundle
from storage.database import reading
from storage.manifest import cut
from storage.tables import drift_results, steps

N_PARTS = 10


@dataclass(frozen=True)
class Outputs:
    """Outputs [n, classes or 1] over the streamed rows, with the threshold each row was cut at."""

    values: Floats
    thresholds: Floats


@dataclass(frozen=True)
class Ledger:
    """What the tables say about the demo's problem, oldest first."""

    drift: list[Row[Any]]
    models: list[Row[Any]]
    releases: list[Row[Any]]
    gate: list[Row[Any]]
    retrain: list[Row[Any]]
    training_seconds: float


def read_ledger(engine: Engine, problem: str) -> Ledger:
    """Read everything that the loop wrote down."""
    with reading(engine) as connection:
        drift = connection.execute(
            select(drift_results)
            .where(drift_results.c.problem == problem)
            .order_by(drift_results.c.id)
        ).all()
        trained = connection.execute(select(steps.c.output).where(steps.c.step == "train"))
        return Ledger(
            list(drift),
            list(reversed(models.attempts(connection, problem, 10_000))),
            list(reversed(releases.release_history(connection, problem, 10_000))),
            list(reversed(reports.decisions_of(connection, problem, "gate", 10_000))),
            list(reversed(reports.decisions_of(connection, problem, "retrain", 10_000))),
            float(sum(output["seconds"] for output in trained.scalars())),
        )


def system_outputs(story: Story, answers: dict[int, Answer]) -> Outputs:
    """What was really answered over HTTP; NaN where a request failed."""
    n_rows, width = len(story) - story.n_first, len(story.schema.classes) or 1
    values = np.full((n_rows, width), np.nan)
    thresholds = np.full(n_rows, 0.5)
    for index, answer in answers.items():
        if answer.status != 200:
            continue
        at, body = index - story.n_first, answer.body
        if story.schema.task == "binary":
            probability = float(body["probability"])
            values[at] = 1 - probability, probability
            # The threshold itself is not in the answer, but on which side of it the row fell is.
            is_positive = str(body["prediction"]) == story.schema.classes[1]
            thresholds[at] = probability if is_positive else np.nextafter(probability, 2.0)
        elif story.schema.task == "multiclass":
            values[at] = [body["probabilities"][name] for name in story.schema.classes]
        else:
            values[at] = body["prediction"]
    return Outputs(values, thresholds)


def frozen_outputs(story: Story, settings: Settings, ledger: Ledger) -> Outputs:
    """What the first champion would have answered for ever."""
    first = ledger.releases[0]
    bundle = read_bundle(settings.store, story.problem.name, first.bundle)
    values = run_graph(bundle.model, story.rows.x[story.n_first :])
    threshold = cut(bundle.manifest)
    return Outputs(values, np.full(len(values), threshold))


def no_change_outputs(story: Story) -> Outputs:
    """The last label that had arrived when the row was predicted, as the answer."""
    seen = np.arange(story.n_first, len(story)) - story.delay_rows - 1
    last = story.rows.y[np.maximum(seen, 0)]
    if story.schema.task == "regression":
        return Outputs(last.reshape(-1, 1), np.full(len(last), 0.5))
    values = np.eye(len(story.schema.classes))[last.astype(int)]
    return Outputs(values, np.full(len(last), 0.5))


def score(story: Story, outputs: Outputs, part: slice = slice(None)) -> float:
    """The problem's metric over a part of the streamed rows; nan where it is undefined."""
    metric = chosen_metric(story.schema.task, story.problem.performance)
    y, values = story.rows.y[story.n_first :][part], outputs.values[part]
    known = ~np.isnan(values).any(axis=1) & ~np.isnan(y)
    y, values = y[known], values[known]
    if not len(y):
        return float("nan")
    if story.schema.task == "binary" and metric == "accuracy":
        said = values[:, 1] >= outputs.thresholds[part][known]
        return float((said == (y > 0.5)).mean())
    return over_models(story.schema.task, metric, y, values)


def wrong_versions(answers: dict[int, Answer], acts: list[Row[Any]]) -> int:
    """How many answers came from a version that was not current at any time of their request.

    A version is current from the moment its release begins until the next one is acknowledged.
    """
    spans: list[tuple[float, float, str]] = []
    for position, act in enumerate(acts):
        later = [a for a in acts[position + 1 :] if a.acknowledged_at is not None]
        end = later[0].acknowledged_at.timestamp() if later else float("inf")
        spans.append((act.started_at.timestamp(), end, str(act.version)))
    wrong = 0
    for answer in answers.values():
        if answer.status != 200:
            continue
        is_current = any(
            version == answer.version and begin <= answer.ended and end >= answer.started
            for begin, end, version in spans
        )
        wrong += not is_current
    return wrong


def alarm_times(ledger: Ledger) -> list[datetime]:
    """When each drift incident began, in stream time: alarms in a row are one incident."""
    times, was_drifted = [], False
    version = None
    for row in ledger.drift:
        if row.is_drifted and not (was_drifted and row.model_version == version):
            times.append(row.clock)
        was_drifted, version = row.is_drifted, row.model_version
    return times


def summarise(
    story: Story, settings: Settings, traffic: Traffic, ledger: Ledger, report: str
) -> dict[str, Any]:
    """The demo's JSON document: the contract's keys, and what stands behind them."""
    metric = chosen_metric(story.schema.task, story.problem.performance)
    sides = {
        "system": system_outputs(story, traffic.answers),
        "frozen": frozen_outputs(story, settings, ledger),
        "no_change": no_change_outputs(story),
    }
    latencies = [1000 * (a.ended - a.started) for a in traffic.answers.values() if a.status == 200]
    n_rows = len(story) - story.n_first
    parts = [slice(n_rows * k // N_PARTS, n_rows * (k + 1) // N_PARTS) for k in range(N_PARTS)]
    p50, p95 = np.percentile(latencies, [50, 95]) if latencies else (np.nan, np.nan)
    result: dict[str, Any] = {
        "ok": False,
        "task": story.schema.task,
        "metric": metric,
        "rows": len(story),
        **{name: score(story, outputs) for name, outputs in sides.items()},
        "drift_alarms": len(alarm_times(ledger)),
        "retrains": max(0, len(ledger.models) - 1),
        "promotions": max(0, sum(r.state == "promoted" for r in ledger.releases) - 1),
        "refusals": sum(is_refusal(row) for row in ledger.gate),
        "requests": len(traffic.answers),
        "failed": sum(a.status != 200 for a in traffic.answers.values())
        + len(traffic.feedback_failures),
        "wrong_version": wrong_versions(traffic.answers, ledger.releases),
        "p50_ms": float(p50),
        "p95_ms": float(p95),
        "training_seconds": ledger.training_seconds,
        "report": report,
        "problem": story.problem.name,
        "by_tenth": {
            name: [score(story, outputs, part) for part in parts] for name, outputs in sides.items()
        },
        "failures": failures(traffic),
        "decisions": decisions(ledger),
    }
    result["broken_promises"] = broken_promises(story, result, ledger, sides)
    result["ok"] = not result["broken_promises"]
    return result


def is_refusal(row: Row[Any]) -> bool:
    """Whether the gate said no; a challenger that it could not judge yet is no refusal."""
    return not row.go and row.evidence.get("outcome") != "inconclusive"


def failures(traffic: Traffic) -> dict[str, int]:
    """How often each kind of failure came: route, status and code."""
    told = [
        f"/predict {answer.status} {answer.body.get('code', '')}"
        for answer in traffic.answers.values()
        if answer.status != 200
    ]
    told += [f"/feedback {text}" for text in traffic.feedback_failures]
    return {text: told.count(text) for text in sorted(set(told))}


def decisions(ledger: Ledger) -> list[dict[str, Any]]:
    """Each retrain: its trigger, and what the gate said of it."""
    verdicts = {row.evidence.get("version"): row for row in ledger.gate}
    wishes = {row.run_id: row for row in ledger.retrain if row.go}
    told = []
    for model in ledger.models:
        wish, verdict = wishes.get(model.run_id), verdicts.get(model.version)
        told.append(
            {
                "version": model.version,
                "clock": model.clock,
                "trigger": wish.trigger if wish is not None else None,
                "why": wish.reason if wish is not None else None,
                "promoted": bool(verdict is not None and verdict.go),
                "outcome": _outcome(model, verdict),
                "verdict": verdict.reason if verdict is not None else model.reason,
            }
        )
    return told


def _outcome(model: Row[Any], verdict: Row[Any] | None) -> str:
    if verdict is None:
        return str(model.state)
    if verdict.go:
        return "promoted"
    return "refused" if is_refusal(verdict) else "undecided"


def broken_promises(
    story: Story, result: dict[str, Any], ledger: Ledger, sides: dict[str, Outputs]
) -> list[str]:
    """What the demo promised and did not see happen, in words; empty when all is well."""
    broken = []
    expected = len(story) - story.n_first
    if result["requests"] != expected:
        broken.append(f"{result['requests']} of {expected} rows were sent")
    if result["failed"]:
        broken.append(f"{result['failed']} requests failed")
    if result["wrong_version"]:
        broken.append(f"{result['wrong_version']} answers came from a version not current")
    gained = gain(result["metric"], result["system"], result["frozen"])
    if result["promotions"] and story.drift_row is None and gained < 0:
        broken.append("the system did worse than its frozen first model")
    if story.drift_row is not None:
        broken += _drift_promises(story, result, ledger, sides, story.drift_row)
    return broken


def _drift_promises(
    story: Story,
    result: dict[str, Any],
    ledger: Ledger,
    sides: dict[str, Outputs],
    drift_row: int,
) -> list[str]:
    broken = []
    began = story.times.iloc[drift_row]
    alarms = [row.clock for row in ledger.drift if row.is_drifted]
    if any(clock < began for clock in alarms):
        broken.append("drift was reported before it began")
    if not any(clock >= began for clock in alarms):
        broken.append("drift was not found after it began")
    promoted = [r for r in ledger.releases[1:] if r.state == "promoted"]
    if not promoted:
        broken.append("no new model was promoted")
        return broken
    after = slice(_first_row_of(story, promoted[0].clock), None)
    new, old = score(story, sides["system"], after), score(story, sides["frozen"], after)
    if not gain(result["metric"], new, old) > 0:
        broken.append(
            f"after the promotion the system's {result['metric']} is {new:.3f}, "
            f"the frozen model's {old:.3f}"
        )
    return broken


def _first_row_of(story: Story, clock: datetime) -> int:
    return int((story.times <= clock).sum()) - story.n_first


def direction(metric: str) -> str:
    """Which way is better, in words."""
    return "lower is better" if metric in LOWER_IS_BETTER else "higher is better"
