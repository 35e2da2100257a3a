"""MLflow: recorded when it is there, later when it was away, and never twice."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from settings import Settings
from storage import registry
from storage.bundles import bundle_folder
from storage.database import open_engine, writing
from storage.models import update_version
from storage.tables import models
from tasks import record as record_module
from tasks.record import record_versions
from tasks.training import training_folder
from tests.factories import (
    NOWHERE,
    rows_of,
    serve_rows,
    small_rows,
    small_run,
    small_settings,
    tick,
)
from tests.factories_releases import release_next
from tests.tasks.conftest import PowerCutError


@pytest.fixture(scope="module")
def empty_mlflow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow database without runs; making one takes seconds."""
    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    assert registry.aliases(f"sqlite:///{path}", "small") == {}
    return path


@pytest.fixture
def connected(championed: Settings, empty_mlflow: Path) -> Settings:
    """A home whose champion was trained while MLflow was away; it is back now."""
    path = championed.home / "mlflow.db"
    shutil.copyfile(empty_mlflow, path)
    return small_settings(championed.home, mlflow_uri=f"sqlite:///{path}")


def record(settings: Settings) -> int:
    """How many versions a run recorded."""
    with small_run(settings, flow="maintain") as run:
        return record_versions(run)


def client(settings: Settings) -> object:
    """MLflow's own client."""
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=settings.tracking_uri, registry_uri=settings.tracking_uri)


def registered(settings: Settings) -> list[object]:
    """All registered versions."""
    found: list[object] = client(settings).search_model_versions("name = 'perennial-small'")  # type: ignore[attr-defined]
    return found


def folder_of(settings: Settings) -> Path:
    return training_folder(settings.home, "small", 1)


def _children(settings: Settings, run_id: str) -> list[object]:
    mlflow = client(settings)
    run = mlflow.get_run(run_id)  # type: ignore[attr-defined]
    mine = f"tags.`mlflow.parentRunId` = '{run_id}'"
    found: list[object] = mlflow.search_runs([run.info.experiment_id], mine)  # type: ignore[attr-defined]
    return found


def test_with_mlflow_away_training_finishes_and_a_later_run_records_it(
    championed: Settings, connected: Settings
) -> None:
    away = small_settings(championed.home, mlflow_uri=NOWHERE)
    assert record(away) == 0
    assert rows_of(away, models)[0].mlflow_version is None
    assert record(connected) == 1
    assert record(connected) == 0
    (version,) = registered(connected)
    run = client(connected).get_run(version.run_id)  # type: ignore[attr-defined]
    assert run.info.status == "FINISHED"
    assert run.data.tags["perennial.version"] == "1"
    assert run.data.params["model"] == "linear"
    assert run.data.metrics["roc_auc"] > 0.7
    names = {item.path for item in client(connected).list_artifacts(version.run_id)}  # type: ignore[attr-defined]
    assert {"bundle", "charts", "evaluation.parquet", "trials.json", "model_card.md"} <= names
    children = _children(connected, version.run_id)  # type: ignore[attr-defined]
    trials = json.loads((folder_of(connected) / "trials.json").read_text())
    assert len(children) == len(trials) > 1
    assert {child.data.tags["mlflow.runName"] for child in children} == {  # type: ignore[attr-defined]
        trial["candidate"] for trial in trials
    }
    assert all(0 < child.data.metrics["roc_auc"] <= 1 for child in children)  # type: ignore[attr-defined]
    card = (folder_of(connected) / "model_card.md").read_text()
    assert "# small, version 1" in card
    assert "| roc_auc by slice | value | rows |" in card
    assert "plan = basic" in card
    assert version.tags["state"] == "champion"
    assert registry.aliases(connected.tracking_uri, "small") == {
        "candidate": 1,
        "challenger": 1,
        "champion": 1,
    }


def test_a_crash_between_registering_and_noting_registers_once(
    connected: Settings, cut_before: Callable[[object, str], None]
) -> None:
    cut_before(record_module.registry, "tag_version")
    with pytest.raises(PowerCutError):
        record(connected)
    assert rows_of(connected, models)[0].mlflow_version is None
    assert record(connected) == 1
    assert len(registered(connected)) == 1
    runs = client(connected).search_runs(["1"])  # type: ignore[attr-defined]
    assert len([run for run in runs if "mlflow.parentRunId" not in run.data.tags]) == 1
    trials = [run.data.tags.get("perennial.trial") for run in runs]
    assert len(trials) == len(set(trials)) > 1


def test_an_alias_that_was_moved_by_hand_moves_back(connected: Settings) -> None:
    serve_rows(connected, small_rows(400, 350, turned=True), "1")
    assert tick(connected, 750)["challenger"]["outcome"] == "promoted"
    uri = connected.tracking_uri
    assert registry.aliases(uri, "small")["champion"] == 2
    registry.set_alias(uri, "small", "champion", 1)
    record(connected)
    assert registry.aliases(uri, "small")["champion"] == 2


def test_what_became_of_a_version_stands_in_its_tags(connected: Settings) -> None:
    assert record(connected) == 1
    assert [one.tags["state"] for one in registered(connected)] == ["champion"]  # type: ignore[attr-defined]
    engine = open_engine(connected.sql_url)
    with writing(engine) as connection:
        update_version(connection, "small", 1, state="archived")
    engine.dispose()
    assert record(connected) == 0
    assert [one.tags["state"] for one in registered(connected)] == ["archived"]  # type: ignore[attr-defined]


def test_a_version_whose_files_are_gone_does_not_keep_the_others_out(connected: Settings) -> None:
    release_next(connected)
    bundle = rows_of(connected, models)[1].bundle
    shutil.rmtree(bundle_folder(connected.store, "small", bundle))
    assert record(connected) == 1
    assert [row.mlflow_version for row in rows_of(connected, models)] == [1, None]


def test_a_registry_that_is_away_is_one_error_that_says_so(tmp_path: Path) -> None:
    with pytest.raises(registry.RegistryError, match="MLflow: aliases: "):
        registry.aliases(NOWHERE, "small")
