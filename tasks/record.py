"""Record a training run in MLflow, now or, when it was down, at a later run."""

from __future__ import annotations

import json
import re
from typing import Any

from loguru import logger
from sqlalchemy import Row

from storage import models, registry, reports
from storage.bundles import BundleError, read_bundle
from storage.database import reading
from storage.kill_points import reach
from tasks.model_card import complete_folder, show_card
from tasks.run import Run
from tasks.step import step
from tasks.training import EVALUATION, TRIALS, training_folder

N_LATEST = 20


@step("record in MLflow")
def record_versions(run: Run) -> int:
    """Record every finished version that MLflow does not have yet; returns how many were.

    MLflow being down never fails the loop: what is missing is recorded by a later run.
    """
    with reading(run.engine) as connection:
        waiting = [
            row
            for row in models.attempts(connection, run.name, N_LATEST)
            if row.bundle is not None and row.mlflow_version is None
        ]
    recorded = 0
    try:
        for row in reversed(waiting):
            try:
                _record(run, row)
                recorded += 1
            except (BundleError, FileNotFoundError) as error:
                logger.warning(
                    "{}: version {} cannot be recorded: {}", run.name, row.version, error
                )
        _tag_verdict(run)
        _align_aliases(run)
        _align_states(run)
    except registry.RegistryError as error:
        logger.warning("{}: {}; recorded later", run.name, error)
    return recorded


def _record(run: Run, row: Row[Any]) -> None:
    uri = run.settings.tracking_uri
    manifest = read_bundle(run.store, run.name, row.bundle).manifest
    folder = training_folder(run.settings.home, run.name, row.version)
    if not folder.is_dir():
        raise FileNotFoundError(f"its files in {folder} are gone")
    tags = {"perennial.run_id": row.run_id, "perennial.version": str(row.version)}
    mlflow_run_id = row.mlflow_run_id or registry.open_run(
        uri, run.name, f"{run.name} v{row.version}", tags, run.settings.home
    )
    complete_folder(folder, EVALUATION, row, manifest)
    mlflow_version = registry.close_run(
        uri,
        run.name,
        mlflow_run_id,
        {
            "model": manifest.model_kind,
            "window": manifest.training_window,
            "n_training_rows": manifest.n_training_rows,
            "data_version": manifest.data_version,
            **manifest.parameters,
        },
        {name: value for name, value in manifest.metrics.items() if value is not None},
        folder,
    )
    trials = json.loads((folder / TRIALS).read_text())
    registry.record_trials(uri, run.name, mlflow_run_id, trials, manifest.metric)
    show_card(run, row, manifest, mlflow_run_id)
    registry.tag_version(
        uri, run.name, mlflow_version, {"state": row.state, "reason": row.reason or ""}
    )
    with run.commit() as connection:
        models.update_version(
            connection,
            run.name,
            row.version,
            mlflow_run_id=mlflow_run_id,
            mlflow_version=mlflow_version,
        )
    reach("register.version_noted")


def _tag_verdict(run: Run) -> None:
    """Tag the version that the gate judged in this run, check by check."""
    with reading(run.engine) as connection:
        decided = reports.gate_decision(connection, run.run_id)
        version = None if decided is None else decided.evidence.get("version")
        row = None if version is None else models.find_version(connection, run.name, version)
    if decided is None or row is None or row.mlflow_version is None:
        return
    evidence = decided.evidence
    checks = {
        f"gate.{_tag_name(check['name'])}": f"{check['outcome']}: {check['text']}"
        for check in evidence.get("checks", [])
    }
    tags = {"state": row.state, "reason": decided.reason, "gate": evidence.get("outcome", "")}
    registry.tag_version(run.settings.tracking_uri, run.name, row.mlflow_version, tags | checks)


def _tag_name(check: str) -> str:
    """A check's name as MLflow takes it for a tag."""
    return re.sub(r"[^\w .-]", "_", check)[:200]


def _align_aliases(run: Run) -> None:
    """Point MLflow's aliases at what our tables say; ours decide, so a moved alias moves back."""
    wanted: dict[str, int] = {}
    with reading(run.engine) as connection:
        for row in reversed(models.attempts(connection, run.name, N_LATEST)):
            if row.mlflow_version is not None:
                wanted["candidate"] = row.mlflow_version
                if row.state in ("challenger", "shadow", "canary", "champion"):
                    wanted["challenger"] = row.mlflow_version
        champion = models.champion(connection, run.name)
    if champion is not None and champion.mlflow_version is not None:
        wanted["champion"] = champion.mlflow_version
    uri = run.settings.tracking_uri
    found = registry.aliases(uri, run.name)
    for alias, version in wanted.items():
        if found.get(alias) != version:
            if alias == "champion" and alias in found:
                logger.info("{}: MLflow's champion moves to version {}", run.name, version)
            registry.set_alias(uri, run.name, alias, version)
            if alias == "champion":
                reach("register.alias_moved")


def _align_states(run: Run) -> None:
    """Tag what became of each version since it was recorded: who serves, who was taken away."""
    with reading(run.engine) as connection:
        attempts = models.attempts(connection, run.name, N_LATEST)
    uri = run.settings.tracking_uri
    told = registry.states(uri, run.name, N_LATEST)
    for row in attempts:
        if row.mlflow_version in told and told[row.mlflow_version] != row.state:
            registry.tag_version(uri, run.name, row.mlflow_version, {"state": row.state})
