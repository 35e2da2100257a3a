"""The champion as the loop sees it, also after the problem file has moved on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from learning.problem import Feature
from settings import Settings
from storage.bundles import BundleError, bundle_folder
from storage.database import open_engine, reading
from storage.observations import read_observations
from storage.reports import served_rows
from storage.tables import models
from tasks.artifacts import artifact_key
from tasks.champion import Champion, load_champion, rival_output, served_frame
from tests.factories import FEATURES, rows_of, serve_rows, small_rows, small_run


def loaded(settings: Settings) -> Champion:
    """The champion of a home that has one."""
    with small_run(settings) as run:
        champion = load_champion(run)
    assert champion is not None
    return champion


def test_before_the_first_promotion_there_is_none(small: Settings) -> None:
    with small_run(small) as run:
        assert load_champion(run) is None


def test_the_champion_knows_what_it_was_trained_on(championed: Settings) -> None:
    champion = loaded(championed)
    assert champion.schema.names == FEATURES
    assert champion.schema.classes == ("no", "yes")
    assert champion.reference.shape[1] == 3
    assert str(champion.training_end) == "2026-01-01T04:39:00.000000"


def test_a_champion_without_its_reference_rows_is_refused_by_name(championed: Settings) -> None:
    bundle = rows_of(championed, models)[0].bundle
    (bundle_folder(championed.store, "small", bundle) / "reference.parquet").unlink()
    with small_run(championed) as run, pytest.raises(BundleError, match="another hash"):
        load_champion(run)


def test_the_rival_sees_rows_as_it_was_trained_to(championed: Settings) -> None:
    champion = loaded(championed)
    frame = read_observations(championed.store, "small").tail(5)
    dummy = np.full((5, 2), 0.5)
    output = rival_output(champion, frame, champion.schema, dummy)
    wider = replace(champion.schema, features=(Feature(name="new"), *champion.schema.features))
    assert np.array_equal(rival_output(champion, frame, wider, dummy), output)
    turned = replace(champion.schema, classes=("yes", "other", "no"))
    reordered = rival_output(champion, frame, turned, dummy)
    assert np.array_equal(reordered[:, [2, 0]], output)
    assert not reordered[:, 1].any()
    other = replace(champion.schema, task="regression", classes=())
    assert rival_output(champion, frame, other, dummy) is dummy


def test_served_inputs_of_a_version_that_nobody_knows_are_read_by_todays_names(
    championed: Settings,
) -> None:
    serve_rows(championed, small_rows(400, 2), "1")
    serve_rows(championed, small_rows(402, 2), "77")
    engine = open_engine(championed.sql_url)
    with reading(engine) as db:
        listed = served_rows(db, "small", 9)
    engine.dispose()
    with small_run(championed) as run:
        frame = served_frame(run, listed, ("plan", "x2"))
        empty = served_frame(run, [], ("plan", "x2"))
    assert list(frame.columns) == ["plan", "x2"]
    assert frame["plan"].isin(["basic", "pro"]).tolist()[2:] == [True, True]
    assert len(empty) == 0


def test_artifact_keys_are_as_prefect_takes_them() -> None:
    assert artifact_key("my_problem.v2", "drift") == "my-problem-v2-drift"
