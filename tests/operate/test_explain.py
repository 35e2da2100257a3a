from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import pytest
from click.testing import Result
from typer.testing import CliRunner

import cli
from settings import Settings, get_settings
from storage.database import open_engine, upgrade, writing
from storage.models import begin_version, update_version
from storage.tables import models
from tests.api.servers import running
from tests.api.test_explain import ROW, total, write_model
from tests.factories_bundles import promote

Explain = Callable[..., Result]


@pytest.fixture
def explain(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Explain]:
    """Runs `perennial explain` where version 1 answered "order-1", and version 2 serves."""
    store = settings.store
    bundles = [
        write_model(store, "boosting", "binary"),
        write_model(store, "linear", "binary", "2"),
    ]
    upgrade(settings.sql_url)
    promote(store, bundles[0], 1)
    with running(settings.model_copy(update={"api_insecure": True})) as api:
        api.predict(features=ROW, prediction_id="order-1")
        api.drained()
    promote(store, bundles[1], 2, version="2")
    engine = open_engine(settings.sql_url)
    with writing(engine) as connection:
        for bundle in bundles:
            version = begin_version(connection, "demo", bundle, datetime.now(UTC))
            update_version(connection, "demo", version, bundle=bundle)
    engine.dispose()
    monkeypatch.chdir(settings.home)
    monkeypatch.setenv("PERENNIAL_HOME", str(settings.home))
    monkeypatch.setenv("PERENNIAL_ACTIVE", "demo")
    get_settings.cache_clear()
    yield lambda *arguments: CliRunner().invoke(cli.app, ["explain", *arguments])
    get_settings.cache_clear()


def test_a_stored_prediction_is_explained_by_the_model_that_answered_it(explain: Explain) -> None:
    result = explain("order-1", "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["model_version"] == "1"
    assert found["explanation"]["method"] == "path-dependent tree SHAP"
    assert total(found["explanation"]) == pytest.approx(found["explanation"]["prediction_on_scale"])
    sent = {part["feature"]: part["value"] for part in found["explanation"]["contributions"]}
    assert sent == ROW


def test_a_person_reads_a_table_that_adds_up(explain: Explain) -> None:
    result = explain("order-1", "--problem", "demo")
    assert result.exit_code == 0, result.output
    for word in ("base value", "f2", "missing", "log-odds"):
        assert word in result.stdout


def test_an_unknown_prediction_is_told_in_one_line(explain: Explain) -> None:
    result = explain("order-2")
    assert result.exit_code == 2
    assert result.stderr == "perennial: no stored prediction has the id 'order-2'\n"


def test_a_model_whose_bundle_is_gone_or_another_explains_nothing(
    explain: Explain, settings: Settings
) -> None:
    engine = open_engine(settings.sql_url)
    with writing(engine) as connection:
        # As if the ledger were wrong: the bundle of version 1 is one of version 2.
        row = connection.execute(models.select().where(models.c.version == 2)).one()
        update_version(connection, "demo", 1, bundle=row.bundle)
    wrong = explain("order-1")
    with writing(engine) as connection:
        update_version(connection, "demo", 1, bundle="0" * 64)
    gone = explain("order-1")
    engine.dispose()
    for result in (wrong, gone):
        assert result.exit_code == 1
        assert result.stderr.startswith("perennial: ")
        assert result.stderr.count("\n") == 1
