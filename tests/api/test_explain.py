from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from api import explain_shelf
from learning.explain import explanation_file
from learning.onnx_export import export
from settings import Settings
from storage.bundles import EXPLANATION, write_bundle
from storage.database import open_engine, upgrade, writing
from storage.manifest import FeatureSpec, Golden
from storage.models import begin_version, update_version
from tests.api.servers import Api, running
from tests.factories import START
from tests.factories_bundles import make_manifest, promote, write_classifier
from tests.learning.explained import EVERY, N_FEATURES, fitted_of, inputs, rows_of, schema_of

ROW = {"f0": 1.5, "f1": "c", "f2": -0.5, "f3": None, "f4": 2, "f5": 0}
GROUPS = (None, None, "money", "money", "time", "time")


def write_model(
    store: Path, kind: str, task: Any, version: str = "1", explanation: bytes | None = None
) -> str:
    """Name of a bundle as training writes it: a fitted model with its graph and explanation."""
    fitted, schema = fitted_of(kind, task), schema_of(task)
    graph = export(fitted, N_FEATURES)
    x = inputs(5, seed=9)
    rows = tuple(tuple(None if np.isnan(v) else float(v) for v in row) for row in x)
    outputs = tuple(tuple(row) for row in fitted.output(x).tolist())
    manifest = make_manifest(
        graph,
        Golden(rows, outputs, 0.01),
        version=version,
        task=task,
        classes=schema.classes,
        class_type="integer",
        model_kind=kind,
        features=tuple(
            FeatureSpec(f.name, f.kind, f.categories, group)
            for f, group in zip(schema.features, GROUPS, strict=True)
        ),
    )
    content = explanation or explanation_file(fitted, rows_of(task).x)
    assert content is not None
    return write_bundle(store, manifest, {"model.onnx": graph, EXPLANATION: content})


@contextmanager
def serving(settings: Settings, bundle: str) -> Iterator[Api]:
    upgrade(settings.sql_url)
    promote(settings.store, bundle, 1)
    with running(settings) as api:
        yield api


@pytest.fixture
def boosted(open_settings: Settings) -> Iterator[Api]:
    """A server that answers with a binary gradient boosting model."""
    with serving(open_settings, write_model(open_settings.store, "boosting", "binary")) as api:
        yield api


def total(explanation: dict[str, Any]) -> float:
    parts = [part["contribution"] for part in explanation["contributions"]]
    return float(explanation["base_value"] + sum(parts))


@pytest.mark.parametrize(("kind", "task"), EVERY)
def test_contributions_sum_to_the_answer(open_settings: Settings, kind: str, task: str) -> None:
    with serving(open_settings, write_model(open_settings.store, kind, task)) as api:
        found = api.client.post("/explain", json={"features": ROW}).json()
    assert total(found) == pytest.approx(found["prediction_on_scale"], rel=1e-9, abs=1e-9)
    assert found["is_exact"] is True
    if task == "regression":
        assert found["scale"] == "value"
        assert total(found) == pytest.approx(found["prediction"], rel=1e-4)
    elif kind == "forest":
        assert found["scale"] == "probability"
        chances = found.get("probabilities") or {"1": found["probability"]}
        assert total(found) == pytest.approx(chances[str(found["class"])], abs=1e-4)
    elif task == "binary":
        assert found["scale"] == "log-odds"
        assert found["class"] == 1
        assert total(found) == pytest.approx(
            np.log(found["probability"] / (1 - found["probability"])), abs=1e-4
        )
    else:
        assert found["scale"] == "log-odds"
        logs = {name: np.log(chance) for name, chance in found["probabilities"].items()}
        expected = logs[str(found["class"])] - np.mean(list(logs.values()))
        assert found["class"] == found["prediction"]
        assert total(found) == pytest.approx(expected, abs=1e-4)


def test_contributions_carry_names_and_sent_values_largest_first(boosted: Api) -> None:
    found = boosted.client.post("/explain", json={"features": ROW}).json()
    assert {part["feature"]: part["value"] for part in found["contributions"]} == ROW
    sizes = [abs(part["contribution"]) for part in found["contributions"]]
    assert sizes == sorted(sizes, reverse=True)
    assert found["model_version"] == "1"
    assert found["method"] == "path-dependent tree SHAP"


def test_groups_sum_to_the_prediction_too(boosted: Api) -> None:
    found = boosted.client.post("/explain", json={"features": ROW}).json()
    by_group = {part["group"]: part["contribution"] for part in found["groups"]}
    assert set(by_group) == {None, "money", "time"}
    of_feature = {part["feature"]: part["contribution"] for part in found["contributions"]}
    assert by_group["money"] == pytest.approx(of_feature["f2"] + of_feature["f3"])
    sums = found["base_value"] + sum(by_group.values())
    assert sums == pytest.approx(found["prediction_on_scale"])


@pytest.mark.parametrize("features", [{}, {"f1": "never seen"}, [3e38, "d", -3e38, None, 0, 0]])
def test_missing_unseen_and_huge_values_are_explained(boosted: Api, features: Any) -> None:
    answer = boosted.client.post("/explain", json={"features": features})
    assert answer.status_code == 200
    assert total(answer.json()) == pytest.approx(answer.json()["prediction_on_scale"])


def test_explain_stores_nothing(boosted: Api) -> None:
    answer = boosted.client.post("/explain", json={"features": ROW, "prediction_id": "p1"})
    assert "prediction_id" not in answer.json()
    assert boosted.client.get("/predictions/p1").status_code == 404


def test_predict_adds_the_explanation_of_its_own_answer(boosted: Api) -> None:
    alone = boosted.client.post("/explain", json={"features": ROW}).json()
    answer = boosted.client.post("/predict?explain=true", json={"features": ROW}).json()
    assert answer["probability"] == pytest.approx(alone["probability"])
    assert answer["explanation"].items() <= alone.items()
    stored = boosted.client.get(f"/predictions/{answer['prediction_id']}").json()
    assert stored["features"] == ROW
    assert "explanation" not in stored["answer"]


@pytest.mark.parametrize("query", ["", "?explain=false", "?explain=0", "?other=1"])
def test_predict_explains_only_when_asked(boosted: Api, query: str) -> None:
    answer = boosted.client.post(f"/predict{query}", json={"features": ROW})
    assert answer.status_code == 200
    assert "explanation" not in answer.json()


def test_another_word_than_true_or_false_is_refused(boosted: Api) -> None:
    refusal = boosted.client.post("/predict?explain=yes", json={"features": ROW})
    assert (refusal.status_code, refusal.json()["code"]) == (422, "invalid_parameter")


def test_a_repeated_id_gets_the_explanation_of_what_was_stored(boosted: Api) -> None:
    body = {"features": ROW, "prediction_id": "once"}
    first = boosted.client.post("/predict?explain=true", json=body).json()
    other = {"features": {**ROW, "f2": 99}, "prediction_id": "once"}
    again = boosted.client.post("/predict?explain=true", json=other).json()
    boosted.drained()
    later = boosted.client.post("/predict?explain=true", json=other).json()
    assert first == again == later


def test_a_repeated_id_is_explained_by_the_version_that_answered(open_settings: Settings) -> None:
    store = open_settings.store
    first, second = (
        write_model(store, "boosting", "binary"),
        write_model(store, "linear", "binary", version="2"),
    )
    body = {"features": ROW, "prediction_id": "old"}
    with serving(open_settings, first) as api:
        before = api.client.post("/predict?explain=true", json=body).json()
        promote(store, second, 2, version="2")
        api.serves("2")
        unknown = api.client.post("/predict?explain=true", json=body)
        remember(open_settings, 1, first)
        after = api.client.post("/predict?explain=true", json=body).json()
    assert (unknown.status_code, unknown.json()["code"]) == (422, "explanation_unavailable")
    assert before == after


def remember(settings: Settings, version: int, bundle: str) -> None:
    """Write what the loop would: which bundle a version has."""
    engine = open_engine(settings.sql_url)
    with writing(engine) as connection:
        found = begin_version(connection, "demo", "run", START)
        update_version(connection, "demo", found, bundle=bundle)
    engine.dispose()
    assert found == version


def test_a_model_without_explanations_says_so_and_goes_on_predicting(api: Api) -> None:
    body = {"features": [1, "basic"]}
    for path in ("/explain", "/predict?explain=true"):
        refusal = api.client.post(path, json=body)
        assert (refusal.status_code, refusal.json()["code"]) == (422, "explanation_unavailable")
        assert refusal.headers["content-type"] == "application/problem+json"
    assert api.client.post("/predict", json=body).status_code == 200


def test_an_explanation_that_does_not_sum_to_the_answer_is_refused(
    open_settings: Settings,
) -> None:
    other = explanation_file(fitted_of("linear", "binary"), rows_of("binary").x)
    bundle = write_model(open_settings.store, "boosting", "binary", explanation=other)
    with serving(open_settings, bundle) as api:
        refusal = api.client.post("/explain", json={"features": ROW})
    assert (refusal.status_code, refusal.json()["code"]) == (503, "explanation_unavailable")


def test_too_many_waiting_explanations_are_refused_while_predictions_go_on(
    boosted: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(explain_shelf, "N_WAITING", 0)
    refusal = boosted.client.post("/explain", json={"features": ROW})
    assert (refusal.status_code, refusal.json()["code"]) == (503, "busy")
    assert int(refusal.headers["retry-after"]) > 0
    assert boosted.client.post("/predict", json={"features": ROW}).status_code == 200


@pytest.mark.parametrize(
    "features", [{"nobody": 1}, [1], {"f0": "text"}, {"f0": 1e39}, "text", None]
)
def test_explain_refuses_what_predict_refuses(boosted: Api, features: Any) -> None:
    refusals = [
        boosted.client.post(path, json={"features": features})
        for path in ("/predict", "/explain", "/predict?explain=true")
    ]
    assert {refusal.status_code for refusal in refusals} == {422}
    assert len({refusal.json()["code"] for refusal in refusals}) == 1


def test_explaining_needs_the_scope_of_predictions(settings: Settings) -> None:
    promote(settings.store, write_classifier(settings.store), 1)
    with running(settings) as api:
        for path in ("/explain", "/predict?explain=true", "/problems/demo/explain"):
            assert api.client.post(path, json={"features": [1, None]}).status_code == 401


def test_answers_are_as_the_description_says(boosted: Api) -> None:
    paths = boosted.client.get("/openapi.json").json()["paths"]
    for prefix in ("", "/problems/demo"):
        described = paths[f"{prefix}/explain"]["post"]["responses"]["200"]
        schema = described["content"]["application/json"]["schema"]
        answer = boosted.client.post(f"{prefix}/explain", json={"features": ROW}).json()
        assert set(schema["required"]) <= set(answer) <= set(schema["properties"])
    predict = paths["/predict"]["post"]
    assert [parameter["name"] for parameter in predict["parameters"]] == ["explain"]
