from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from api.live_figures import VERSIONS, WINDOW, Figure, figures
from settings import Settings
from storage.live_labels import LiveLabel
from tests.api.servers import Api, running, wait_until
from tests.factories_bundles import promote, promote_version, write_classifier


@pytest.fixture
def sql_api(sql_settings: Settings) -> Iterator[Api]:
    """A server of the binary classifier on each kind of database."""
    promote(sql_settings.store, write_classifier(sql_settings.store), 1)
    with running(sql_settings) as server:
        yield server


def shown(api: Api) -> dict[str, float]:
    """The live figures of `/metrics` by name and version."""
    lines = api.client.get("/metrics").text.splitlines()
    found = [line.rsplit(" ", 1) for line in lines if line.startswith("perennial_live_")]
    return {name.removeprefix("perennial_live_"): float(value) for name, value in found}


def of_demo(version: str, **values: float) -> dict[str, float]:
    return {
        f'{name}{{problem="demo",version="{version}"}}': value for name, value in values.items()
    }


def tell(api: Api, **labels: Any) -> None:
    items = [{"prediction_id": name, "actual": actual} for name, actual in labels.items()]
    assert api.client.post("/feedback", json={"items": items}).status_code == 200


def test_accuracy_counts_and_auc_ranks() -> None:
    # Of the 2 × 2 pairs one is ranked wrong and one is a tie: (2 + 0.5) / 4.
    labels = [
        LiveLabel("1", 0.0, 0.9, True),
        LiveLabel("1", 1.0, 0.4, True),
        LiveLabel("1", 0.0, 0.4, False),
        LiveLabel("1", 1.0, 0.6, False),
    ]
    assert figures(labels, "binary") == [Figure("1", 4, accuracy=0.5, auc=0.625)]
    assert figures(labels[:2], "binary") == [Figure("1", 2, accuracy=0.5, auc=None)]
    assert figures([], "binary") == []


def test_the_area_agrees_with_scikit_learn() -> None:
    random = np.random.default_rng(1)
    actual = random.random(500) < 0.3
    scores = np.round(np.clip(random.normal(0.3 + 0.2 * actual, 0.2), 0, 1), 2)
    labels = [
        LiveLabel("1", 0.0, float(score), bool(is_positive))
        for score, is_positive in zip(scores, actual, strict=True)
    ]
    (figure,) = figures(labels, "binary")
    assert figure.auc == pytest.approx(roc_auc_score(actual, scores), abs=1e-12)


def test_a_regression_has_its_mean_error_and_classes_their_share() -> None:
    labels = [LiveLabel("1", 0.5), LiveLabel("1", 2.0)]
    assert figures(labels, "regression") == [Figure("1", 2, mean_absolute_error=1.25)]
    labels = [LiveLabel("1", 1.0), LiveLabel("1", 0.0), LiveLabel("1", 0.0), LiveLabel("1", 0.0)]
    assert figures(labels, "multiclass") == [Figure("1", 4, accuracy=0.75)]


def test_the_newest_of_each_version_count() -> None:
    old = [LiveLabel("1", 9.0)] * 100
    new = [LiveLabel("1", 1.0)] * WINDOW
    late = [LiveLabel("2", 3.0), LiveLabel("1", 1.0)]
    assert figures([*old, *new, *late], "regression") == [
        Figure("1", WINDOW, mean_absolute_error=1.0),
        Figure("2", 1, mean_absolute_error=3.0),
    ]
    many = [LiveLabel(str(version), 0.0) for version in range(VERSIONS + 3)]
    assert [figure.version for figure in figures(many, "regression")] == ["7", "6", "5", "4", "3"]


@pytest.mark.parametrize("is_drained", [False, True])
def test_labels_move_the_live_figures_as_they_arrive(sql_api: Api, is_drained: bool) -> None:
    assert shown(sql_api) == {}
    chances = {}
    for name, age in (("a", 50), ("b", -50)):
        answer = sql_api.predict(features=[age, None], prediction_id=name).json()
        chances[name] = answer["probability"]
    rows = {"columns": ["age"], "data": [[60], [70]], "prediction_ids": ["c", "d"]}
    sql_api.client.post("/predict/batch", json=rows).raise_for_status()
    assert chances["b"] < 0.5 < chances["a"]
    if is_drained:
        sql_api.drained()
    tell(sql_api, a=1)
    assert shown(sql_api) == of_demo("1", labels=1, accuracy=1.0)
    tell(sql_api, b=0, c=1, d=0)
    # d scores above all, and its label is the other class: it beats a and c, b is below both.
    assert shown(sql_api) == of_demo("1", labels=4, accuracy=0.75, auc=0.5)
    tell(sql_api, b=0, c=1)  # known already
    assert shown(sql_api) == of_demo("1", labels=4, accuracy=0.75, auc=0.5)


def test_late_labels_count_for_the_version_that_answered_and_outlive_a_restart(
    open_settings: Settings,
) -> None:
    promote_version(open_settings.store, 1)
    with running(open_settings) as api:
        api.predict(features=[1], prediction_id="a")
        promote_version(open_settings.store, 2)
        wait_until(lambda: api.predict(features=[1]).json()["prediction"] == 2.0)
        api.predict(features=[1], prediction_id="b")
        tell(api, a=4.0, b=2.5)
        expected = of_demo("1", labels=1, mean_absolute_error=3.0)
        expected |= of_demo("2", labels=1, mean_absolute_error=0.5)
        assert shown(api) == expected
    with running(open_settings) as api:
        assert shown(api) == expected


def test_labels_are_taken_when_their_figures_cannot_be_kept(api: Api, home: Path) -> None:
    (api.settings.home / "serving" / "live").write_text("a file is in the way")
    api.predict(features=[1, None], prediction_id="a")
    tell(api, a=1)
    assert shown(api) == {}
