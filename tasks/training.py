"""Train a candidate: rows to model, graph, bundle and evaluation, recorded in MLflow."""

from __future__ import annotations

import importlib.metadata
import io
import json
import shutil
import time
from collections.abc import Iterator
from dataclasses import astuple, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from loguru import logger
from numpy.typing import NDArray

from learning import alert_text
from learning.change import MOST_ERRORS, changed_at, first_change
from learning.decision import Decision
from learning.drift_outputs import keep_references, references_file
from learning.evaluation_figures import evaluation_figures
from learning.evaluation_parts import evaluation_parts
from learning.explain import explanation_file
from learning.models import TrainingError
from learning.performance import expected_value
from learning.problem import Task
from learning.rows import Rows, Schema
from learning.search import Candidate, Trial, thin, warm_start
from learning.training import Challenger, feature_importance, needs_search, train_challenger
from storage import models, registry
from storage.bundles import (
    EXPLANATION,
    LINEAGE,
    LOSS,
    MANIFEST,
    MODEL,
    REFERENCE,
    STATISTICS,
    BundleError,
    read_bundle,
    sha256,
    write_bundle,
)
from storage.database import reading
from storage.kill_points import reach
from storage.manifest import FeatureSpec, Golden, LossSpec, Manifest, RiskBand, encode_manifest
from storage.observations import data_version
from tasks.champion import Champion, former_champions, load_champion, rival_output
from tasks.labelled import Labelled, read_labelled, tell_of_labels
from tasks.lineage import lineage_file, lineage_of
from tasks.run import Run
from tasks.step import step

N_GOLDEN = 20
GOLDEN_TOLERANCE = 1e-4
EVALUATION, TRIALS = "evaluation.parquet", "trials.json"


@dataclass(frozen=True)
class Trained:
    """A candidate version that now waits for the gate."""

    version: int
    seconds: float


def training_folder(home: Path, problem: str, version: int) -> Path:
    """Where all files of a training run stand, whether MLflow has taken them yet or not."""
    return home / "training" / problem / str(version)


@step("train a challenger")
def train_candidate(run: Run, decision: Decision) -> Trained | None:
    """Train, evaluate and bundle a new version; None when the rows cannot train a model."""
    schema, data = run.schema, data_version(run.store, run.name)
    if schema is None or data is None:
        raise TrainingError(f"{run.name}: no rows were ever ingested; there is nothing to learn")
    began = time.perf_counter()
    with run.commit() as connection:
        why = f"a newer challenger is trained: {decision.reason}"
        models.supersede(connection, run.name, why)
        version = models.begin_version(connection, run.name, run.run_id, run.now)
        run.alert(
            connection, alert_text.retrain_started(decision.trigger or "manual", decision.reason)
        )
    reach("retrain.version_begun")
    champion = load_champion(run)
    labelled = read_labelled(run, schema, champion, data)
    tell_of_labels(run, labelled.findings)
    try:
        challenger = train_challenger(
            labelled.rows,
            None if champion is None else champion.training_end,
            run.problem,
            schema,
            elapsed=lambda: time.perf_counter() - began,
            on_trial=_log_trial,
            may=(labelled.trains, labelled.judges),
            changed_at=_changed_at(run, champion, labelled, schema),
            first=_champions_candidate(run, champion),
            searched_rows=_searched_rows(run, champion, len(labelled.rows), decision),
        )
    except TrainingError as error:
        refuse_version(run, version, champion, str(error))
        return None
    rival = challenger.dummy_output
    challenger = replace(challenger, expected=_expected(challenger, champion))
    if champion is not None:
        judging = labelled.behind(challenger.training.times[-1])
        newest = labelled.frame[judging].tail(len(challenger.holdout))
        rival = rival_output(champion, newest, schema, rival)
    _write(run, version, challenger, rival, schema, data, decision)
    seconds = time.perf_counter() - began
    with run.commit() as connection:
        run.done(connection, "train", version=version, seconds=seconds)
    return Trained(version, seconds)


def refuse_version(run: Run, version: int, champion: Champion | None, reason: str) -> None:
    """Record and tell that a version will not take over."""
    with run.commit() as connection:
        models.update_version(connection, run.name, version, state="refused", reason=reason)
        serving = None if champion is None else str(champion.version)
        run.alert(connection, alert_text.challenger_refused(str(version), serving, reason))


def _changed_at(
    run: Run, champion: Champion | None, labelled: Labelled, schema: Schema
) -> np.datetime64 | None:
    """Since when the champion is wrong more than before, or one before it where it cannot tell."""
    if champion is None:
        return None

    def asked() -> Iterator[Champion]:
        yield champion
        yield from former_champions(run, champion)

    return first_change(champion_changed_at(one, labelled, schema) for one in asked())


def champion_changed_at(
    champion: Champion, labelled: Labelled, schema: Schema
) -> np.datetime64 | None:
    """Since when the champion is wrong more than before, on what came after its training rows."""
    if champion.schema.task != schema.task:
        return None
    newest = np.flatnonzero(labelled.behind(champion.training_end))[-MOST_ERRORS:]
    if not len(newest):
        return None
    output = rival_output(champion, labelled.frame.iloc[newest], schema, np.empty((0, 1)))
    return changed_at(schema.task, labelled.rows.part(newest), np.asarray(output, dtype=float))


def _expected(challenger: Challenger, champion: Champion | None) -> float | None:
    metric, former = challenger.metric, None
    if champion is not None and champion.manifest.metric == metric:
        former = champion.manifest.expected_live
    return expected_value(metric, challenger.metrics.get(metric), former)


def _champions_candidate(run: Run, champion: Champion | None) -> Candidate | None:
    if champion is None:
        return None
    was = champion.manifest
    return warm_start(was.model_kind, was.parameters, was.training_window, run.problem.search)


def _searched_rows(
    run: Run, champion: Champion | None, n_rows: int, decision: Decision
) -> int | None:
    """On how many rows kinds and settings were searched for last; None to search again."""
    if champion is None:
        return None
    with reading(run.engine) as connection:
        newest = models.newest_bundle(connection, run.name)
    manifest = champion.manifest
    if newest is not None:
        try:
            manifest = read_bundle(run.store, run.name, newest).manifest
        except BundleError as error:
            logger.warning("{}: {}; the champion's search counts", run.name, error)
    searched = manifest.searched_rows
    return None if needs_search(n_rows, searched, decision.trigger) else searched


def _log_trial(trial: Trial) -> None:
    name = trial.candidate.name
    logger.info("round {} of the search: {} scores {:.4f}", trial.round + 1, name, trial.score)


def _write(
    run: Run,
    version: int,
    challenger: Challenger,
    rival: NDArray[Any],
    schema: Schema,
    data: int,
    decision: Decision,
) -> None:
    folder = training_folder(run.settings.home, run.name, version)
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "bundle").mkdir(parents=True)
    mlflow_run_id = _open_run(run, version, decision)
    reach("retrain.run_opened")
    importance = feature_importance(challenger, schema, challenger.metric)
    manifest = _manifest(run, version, challenger, schema, data, importance, mlflow_run_id)
    reference = thin(challenger.training, run.problem.windows.reference_rows)
    kept = keep_references(
        reference, challenger.training, challenger.output, schema, run.problem.drift
    )
    files = {
        MODEL: challenger.graph,
        REFERENCE: _parquet(reference, schema),
        STATISTICS: references_file(kept),
    }
    explanation = explanation_file(challenger.fitted, challenger.training.x)
    if explanation is not None:
        files[EXPLANATION] = explanation
    if challenger.loss is not None:
        files[LOSS] = challenger.loss.graph
    lineage = lineage_of(run, challenger, data)
    files[LINEAGE] = lineage_file(run, lineage)
    bundle = write_bundle(run.store, manifest, files)
    reach("export.bundle_written")
    for name, content in {**files, MANIFEST: encode_manifest(manifest)}.items():
        (folder / "bundle" / name).write_bytes(content)
    _write_evaluation(folder, challenger, rival)
    reach("export.files_written")
    with run.commit() as connection:
        models.update_version(
            connection,
            run.name,
            version,
            state="candidate",
            bundle=bundle,
            sha256=bundle,
            metrics=challenger.metrics,
            figures=_figures(run, challenger, schema, importance),
            data_version=data,
            lineage=lineage,
            mlflow_run_id=mlflow_run_id,
        )
    reach("export.candidate_noted")


def _open_run(run: Run, version: int, decision: Decision) -> str | None:
    tags = {
        "perennial.run_id": run.run_id,
        "perennial.version": str(version),
        "perennial.trigger": decision.trigger or "manual",
        "perennial.reason": decision.reason[:5000],
    }
    try:
        return registry.open_run(
            run.settings.tracking_uri, run.name, f"{run.name} v{version}", tags, run.settings.home
        )
    except registry.RegistryError as error:
        logger.warning("{}; training goes on, the run is recorded later", error)
        return None


def _manifest(
    run: Run,
    version: int,
    challenger: Challenger,
    schema: Schema,
    data: int,
    importance: dict[str, float],
    mlflow_run_id: str | None,
) -> Manifest:
    training, problem = challenger.training, run.problem
    is_integer = all(name.lstrip("-").isdigit() for name in schema.classes)
    return Manifest(
        problem=run.name,
        version=str(version),
        task=schema.task,
        target=schema.target,
        classes=schema.classes,
        class_type="integer" if schema.classes and is_integer else "text",
        features=tuple(FeatureSpec(f.name, f.kind, f.categories, f.group) for f in schema.features),
        threshold=challenger.threshold if schema.task == "binary" else None,
        risk_levels=tuple(RiskBand(level.name, level.above) for level in problem.risk_levels),
        cost_false_positive=problem.costs.false_positive,
        cost_false_negative=problem.costs.false_negative,
        model_kind=challenger.fitted.kind,
        model_sha256=sha256(challenger.graph),
        golden=_golden(challenger),
        trained_at=run.now.isoformat(),
        training_start=_iso(training.times[0]),
        training_end=_iso(training.times[-1]),
        n_training_rows=len(training),
        training_window=challenger.window,
        searched_rows=challenger.searched_rows,
        data_version=data,
        metric=challenger.metric,
        metrics={name: _finite(value) for name, value in challenger.metrics.items()},
        expected=challenger.expected,
        parameters=challenger.fitted.parameters,
        parity={
            "n_rows": challenger.parity.n_rows,
            "largest_difference": challenger.parity.largest_difference,
            "tolerance": challenger.parity.tolerance,
        },
        importance=importance,
        baseline=tuple(float(value) for value in challenger.dummy_output[0]),
        calibration=tuple(astuple(scaling) for scaling in challenger.scalings),
        loss=None
        if challenger.loss is None
        else LossSpec(challenger.loss.kind, challenger.loss.spread, challenger.loss.n_rows),
        mlflow_run_id=mlflow_run_id,
        libraries={
            name: importlib.metadata.version(name)
            for name in ("scikit-learn", "skl2onnx", "onnxruntime", "numpy")
        },
    )


def _golden(challenger: Challenger) -> Golden:
    x = thin(challenger.holdout, N_GOLDEN).x
    outputs = challenger.fitted.output(x)
    scale = 1.0 if challenger.fitted.n_classes else max(1.0, float(np.abs(outputs).max()))
    return Golden(
        tuple(tuple(_finite(float(value)) for value in row) for row in x),
        tuple(tuple(float(value) for value in row) for row in outputs),
        GOLDEN_TOLERANCE * scale,
    )


def _write_evaluation(folder: Path, challenger: Challenger, rival: NDArray[Any]) -> None:
    holdout = challenger.holdout
    columns: dict[str, Any] = {"event_time": holdout.times, "y": holdout.y}
    sides = {"challenger": challenger.output, "rival": rival, "dummy": challenger.dummy_output}
    for side, output in sides.items():
        for column in range(output.shape[1]):
            columns[f"{side}_{column}"] = output[:, column]
    pd.DataFrame(columns).to_parquet(folder / EVALUATION)
    trials = [
        {
            "round": t.round,
            "candidate": t.candidate.name,
            "model": t.candidate.kind,
            "window": t.candidate.window,
            "parameters": t.candidate.parameters,
            "score": t.score,
            "rows": t.n_rows,
        }
        for t in challenger.search.trials
    ]
    (folder / TRIALS).write_text(json.dumps(trials, indent=1))


def _figures(
    run: Run, challenger: Challenger, schema: Schema, importance: dict[str, float]
) -> dict[str, Any]:
    return evaluation_figures(*_evaluated(challenger, schema), importance) | evaluation_parts(
        challenger.holdout, challenger.output, schema, run.problem,
        challenger.metric, challenger.threshold, importance,
    )  # fmt: skip


def _evaluated(
    challenger: Challenger, schema: Schema
) -> tuple[Task, tuple[str, ...], NDArray[Any], NDArray[Any], float]:
    """What pictures of the evaluation are made of."""
    y = challenger.holdout.y
    return schema.task, schema.classes, y, challenger.output, challenger.threshold


def _parquet(rows: Rows, schema: Schema) -> bytes:
    buffer = io.BytesIO()
    pd.DataFrame(rows.x, columns=list(schema.names)).to_parquet(buffer)
    return buffer.getvalue()


def _iso(time_of: np.datetime64) -> str:
    return pd.Timestamp(time_of).tz_localize("UTC").isoformat()


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
