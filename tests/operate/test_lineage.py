"""A version's rows loaded again, and the version made again from them."""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd
import pytest
from sqlalchemy import update

from operate.lineage import read_lineage, show_lineage
from operate.terminal import out
from settings import Settings
from storage.bundles import LINEAGE, bundle_folder
from storage.database import open_engine, writing
from storage.observations import compact
from storage.tables import models
from tasks.lineage import LineageError
from tests.factories import bootstrap, drop, small_rows, small_settings, tick


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A champion; more rows came and files were merged since."""
    settings = small_settings(tmp_path_factory.mktemp("trained"))
    bootstrap(settings)
    drop(settings, small_rows(400, 20), "more.csv")
    tick(settings, 420)
    assert compact(settings.store, "small") > 0
    return settings


def changed_lineage(settings: Settings, **changes: object) -> None:
    """Write another lineage of version 1 into the table."""
    engine = open_engine(settings.sql_url)
    with writing(engine) as db:
        row = db.execute(models.select().where(models.c.version == 1)).one()
        lineage = {**row.lineage, **changes}
        db.execute(update(models).where(models.c.version == 1).values(lineage=lineage))
    engine.dispose()


def test_the_exact_rows_are_loaded_again_and_give_the_same_bytes(
    trained: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "rows.parquet"
    found = read_lineage(trained, "small", 1, path, is_rerun=True)
    assert (found["ok"], found["differences"]) == (True, [])
    rows = pd.read_parquet(path)
    assert len(rows) == found["training"]["n_rows"]
    assert found["training"]["sources"] == {"inbox": len(rows)}
    assert rows["_event_time"].max().isoformat() == found["training"]["last"]
    assert found["training"]["last"] < found["holdout"]["first"]
    assert (found["seed"], found["problem_ledger_row"]) == (0, 1)
    assert {"scikit-learn", "numpy", "python"} <= set(found["libraries"])
    folder = bundle_folder(trained.store, "small", found["bundle"])
    assert found["problem_sha256"] in (folder / LINEAGE).read_text()
    show_lineage(found, out())
    shown = capsys.readouterr().out
    assert "the ONNX graph has the same bytes" in shown
    assert found["training"]["sha256"] in shown.replace("\n", "")


def test_other_rows_and_another_graph_are_named(trained: Settings, tmp_path: Path) -> None:
    shutil.copytree(trained.home, tmp_path / "home")
    settings = small_settings(tmp_path / "home")
    before = read_lineage(settings, "small", 1, None, is_rerun=False)
    changed_lineage(settings, training={**before["training"], "spans": [[0, 200]], "n_rows": 200})
    found = read_lineage(settings, "small", 1, None, is_rerun=True)
    rows, graph = found["differences"]
    assert rows.startswith("training: the rows have the hash")
    assert "trained again, the graph has the hash" in graph
    assert "the libraries are the same" in graph
    changed_lineage(settings, holdout={**before["holdout"], "n_rows": 1})
    again = read_lineage(settings, "small", 1, None, is_rerun=False)
    assert again["differences"][1].startswith("holdout: found ")
    changed_lineage(settings, data_version=99)
    with pytest.raises(LineageError, match="data version 99, which cannot be read any more"):
        read_lineage(settings, "small", 1, None, is_rerun=False)


def test_a_version_that_is_not_known_is_said_to_be(trained: Settings) -> None:
    with pytest.raises(LineageError, match="no version 7"):
        read_lineage(trained, "small", 7, None, is_rerun=False)
