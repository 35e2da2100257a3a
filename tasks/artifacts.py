"""Artifacts: what a person reads in the Prefect UI about a run. Silent without Prefect."""

from __future__ import annotations

import base64
import re
from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from loguru import logger
from prefect.artifacts import create_link_artifact, create_markdown_artifact
from prefect.context import FlowRunContext
from sqlalchemy import Row

from learning.decision import Decision
from learning.drift import DriftResult
from learning.drift_joint import JointDrift
from learning.drift_outputs import Watched
from learning.estimate import EstimateResult
from learning.gate import Verdict
from learning.performance import PerformanceResult
from learning.phrases import RIVALS, figure
from tasks.run import Run

MOST_ROWS = 40
N_SETTLED = 10
_BARS = "▁▂▃▄▅▆▇█"


def artifact_key(problem: str, key: str) -> str:
    """A key as Prefect takes it: lower case letters, digits and dashes."""
    return re.sub(r"[^a-z0-9-]", "-", f"{problem}-{key}")


def show(run: Run, key: str, markdown: str, about: str) -> None:
    """Leave a markdown artifact with the flow run; a failing Prefect server is no failure here.

    ``about`` says in one sentence what it is or found: lists show it.
    """
    if FlowRunContext.get() is None:
        return
    try:
        create_markdown_artifact(markdown, key=artifact_key(run.name, key), description=about)
    except Exception as error:
        logger.warning("{}: artifact {} was not kept: {}", run.name, key, type(error).__name__)


def show_link(run: Run, key: str, path: str) -> None:
    """Leave a link to a document that the API serves."""
    if FlowRunContext.get() is None:
        return
    base = run.settings.api_base
    if base is None:  # it listens everywhere, and nobody said where people find it
        return
    link = f"{base}/problems/{run.name}/drift/report"
    try:
        create_link_artifact(
            link,
            link_text=f"Evidently report ({path})",
            key=artifact_key(run.name, key),
            description="Evidently's report of the newest check, as the API serves it.",
        )
    except Exception as error:
        logger.warning("{}: artifact {} was not kept: {}", run.name, key, type(error).__name__)


def show_image(run: Run, key: str, png: bytes, about: str) -> None:
    """Leave a picture, which travels inside the artifact: nothing else has to serve it.

    In Markdown, for an artifact of the kind image prints its address below: all of the picture.
    """
    url = f"data:image/png;base64,{base64.b64encode(png).decode()}"
    show(run, key, f"![{about}]({url})", about)


def sparkline(values: Sequence[float | None]) -> str:
    """Numbers of 0 to 1 as a row of bars, one character each; a dot where there is none."""
    last = len(_BARS) - 1
    return "".join(
        "·" if value is None else _BARS[round(last * min(1.0, max(0.0, value)))] for value in values
    )


def show_drift(
    run: Run, result: DriftResult, watched: Watched, before: Sequence[Row[Any]] = ()
) -> None:
    """The drift table, worst features first, and what the check saw beside the inputs.

    ``before`` are earlier checks, newest first; each feature's effect in them is drawn as bars.
    """
    rows = sorted(result.features, key=lambda f: f.effect or -1.0, reverse=True)[:MOST_ROWS]
    past = _past_effects(before)
    lines = [
        f"## Data drift: {'**drifted**' if result.is_drifted else 'none'}",
        "",
        result.reason,
        "",
        f"{result.n_reference} reference rows, {result.n_current} current rows",
        "",
        *(
            f"- group {g.name}: **{g.status}**, {g.n_drifted} of {g.n_testable} features"
            for g in result.groups
        ),
        *(f"- {sentence}" for sentence in watched.sentences()),
        "",
        "| feature | test | effect | | before and now | p adjusted | drifted |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        if row.not_testable is not None:
            lines.append(f"| {cell(row.name)} | {row.kind} | | {row.not_testable} | | | |")
            continue
        bar = "█" * round(10 * min(1.0, row.effect or 0.0))
        lines.append(
            f"| {cell(row.name)} | {row.test} | {row.effect:.3f} | {bar} "
            f"| {sparkline([*past[row.name], row.effect])} "
            f"| {row.p_adjusted:.2g} | {'yes' if row.is_drifted else ''} |"
        )
    show(run, "drift", "\n".join(lines), result.reason)


def _past_effects(before: Sequence[Row[Any]]) -> dict[str, list[float | None]]:
    """Each feature's effect in earlier checks, oldest first; none of a check that lacks it."""
    past: dict[str, list[float | None]] = defaultdict(list)
    for row in reversed(before):
        for feature in row.features:
            past[feature["name"]].append(feature["effect"])
    return past


def show_joint(run: Run, result: JointDrift) -> None:
    """Whether a classifier can tell the windows apart, and by which features."""
    lines = [f"## All features at once\n\n{result.reason}", ""]
    if result.given_away_by:
        lines += ["| feature | AUC lost without it |", "|---|---|"]
        lines += [f"| {cell(name)} | {loss:.3f} |" for name, loss in result.given_away_by]
    show(run, "drift-joint", "\n".join(lines), result.reason)


def show_performance(run: Run, result: PerformanceResult, label_share: float | None) -> None:
    """Live performance with its interval, what it must be better than, metrics and slices."""
    arrived = "unknown" if label_share is None else f"{label_share:.0%}"
    lines = [f"## Live performance\n\n{result.reason}\n\nLabels arrived: {arrived}", ""]
    if result.rivals:
        lines += [f"| beside it | {result.metric} | gain of the served model | rows |"]
        lines += ["|---|---|---|---|"]
        lines += [
            f"| {RIVALS[one.name]} | {figure(one.value)} "
            f"| {figure(one.gain, one.gain_low, one.gain_high)} | {one.n_rows} |"
            for one in result.rivals
        ]
    if result.metrics:
        lines += ["", "| metric | value |", "|---|---|"]
        lines += [
            f"| {name} | {figure(value, *result.intervals.get(name, (None, None)))} |"
            for name, value in result.metrics.items()
        ]
    if result.slices:
        lines += ["", f"| slice | {result.metric} | rows | below the floor |", "|---|---|---|---|"]
        lines += [
            f"| {cell(part.name)} | {figure(part.value, part.low, part.high)} | {part.n_rows} "
            f"| {'**yes**' if part.is_below_floor else ''} |"
            for part in result.slices
        ]
    show(run, "performance", "\n".join(lines), result.reason)


def show_estimate(run: Run, result: EstimateResult, settled: Sequence[Row[Any]]) -> None:
    """The estimate without labels, and what labels said of earlier ones."""
    lines = [f"## Estimated performance (no labels yet)\n\n{result.reason}", ""]
    if settled:
        lines += ["| estimated | by the labels | error | held | answers | version |"]
        lines += ["|---|---|---|---|---|---|"]
    for row in settled[:N_SETTLED]:
        lines.append(
            f"| {figure(row.value, row.low, row.high)} | {figure(row.realised)} "
            f"| {row.error:+.3f} | {'yes' if row.is_covered else '**no**'} "
            f"| {row.realised_rows} | {row.model_version} |"
        )
    show(run, "estimate", "\n".join(lines), result.reason)


def show_decision(run: Run, decision: Decision) -> None:
    """The retrain decision in one sentence."""
    verdict = f"retrain ({decision.trigger})" if decision.go else "do not retrain"
    show(run, "decision", f"## Decision: {verdict}\n\n{decision.reason}", decision.reason)


def show_verdict(run: Run, version: int, verdict: Verdict) -> None:
    """The gate, check by check."""
    lines = [
        f"## Gate: {verdict.outcome}, version {version}",
        "",
        verdict.decision.reason,
        "",
        "| check | outcome | found | required | in words |",
        "|---|---|---|---|---|",
        *(
            f"| {cell(check.name)} | {_OUTCOMES[check.outcome]} | {_short(check.found)} "
            f"| {_short(check.required)} | {cell(check.text)} |"
            for check in verdict.checks
        ),
    ]
    show(run, "gate", "\n".join(lines), f"Version {version}: {verdict.decision.reason}")


_OUTCOMES = {"pass": "pass", "fail": "**fail**", "unsure": "*unsure*", "skip": "not asked"}


def _short(value: float | None) -> str:
    return "" if value is None else f"{value:.5g}"


def show_history(run: Run, releases: Sequence[Row[Any]]) -> None:
    """Who was champion since when, and why."""
    rows = [
        (row.generation, row.version, row.state, _moment(row.started_at), cell(row.reason))
        for row in releases
    ]
    text = _table("Champions", ("generation", "version", "state", "since", "why"), rows)
    show(run, "champions", text, "Who was served since when, and why.")


def show_rollout(run: Run, stages: Sequence[Row[Any]]) -> None:
    """The stages of rollouts, newest first: what runs, and what became of the others."""
    rows = [
        (row.stage, row.version, row.against, row.state, _moment(row.clock), cell(row.reason))
        for row in stages
    ]
    names = ("stage", "version", "beside", "state", "began", "what was seen")
    text = _table("Rollouts", names, rows)
    show(run, "rollout", text, "What was tried beside the champion, and how it went.")


def _moment(time: datetime) -> str:
    return f"{time:%Y-%m-%d %H:%M:%S}"


def _table(title: str, names: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A table as Markdown under its title."""
    lines = [f"## {title}", "", f"| {' | '.join(names)} |", "|---" * len(names) + "|"]
    lines += [f"| {' | '.join(map(str, row))} |" for row in rows]
    return "\n".join(lines)


def cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
