"""The description says what the application does, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jsonschema_rs
import pytest
from fastapi.routing import APIRoute
from starlette.routing import Route

from api.app import create_app, required_scope
from settings import Settings
from tests.api.batches import send_json
from tests.api.servers import Api, running
from tests.factories_bundles import promote, write_classifier, write_colours


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """A server of the problem ``demo``, and of one without a model."""
    home = tmp_path_factory.mktemp("home")
    settings = Settings(_env_file=None, home=home, api_insecure=True)  # type: ignore[call-arg]
    promote(settings.store, write_classifier(settings.store), generation=1)
    with running(settings, "demo", "empty") as server:
        yield server


def described(api: Api) -> dict[str, Any]:
    document: dict[str, Any] = api.client.get("/openapi.json").json()
    return document


def each_operation(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            yield path, method, operation


def test_every_route_is_described_with_its_scope_and_no_other_is(settings: Settings) -> None:
    app = create_app(settings, ("first", "second"))
    routed = {
        (route.path, method.lower(), required_scope(route))
        for route in app.routes
        if isinstance(route, APIRoute | Route)
        for method in (route.methods or set()) - {"HEAD"}
    }
    found = set()
    for path, method, operation in each_operation(app.openapi()):
        security = operation["security"]
        found.add((path, method, security[0]["bearer"][0] if security else None))
    assert found == routed


def test_operations_have_names_of_their_own_and_say_what_they_do(api: Api) -> None:
    operations = list(each_operation(described(api)))
    ids = [operation["operationId"] for _, _, operation in operations]
    assert len(ids) == len(set(ids))
    assert all(operation["summary"].endswith(".") for _, _, operation in operations)


def test_every_refusal_is_described_as_a_problem_document(api: Api) -> None:
    for path, method, operation in each_operation(described(api)):
        statuses = set(operation["responses"]) - {"200"}
        assert {"500", "503"} <= statuses, path
        assert ({"401", "403", "429"} <= statuses) == bool(operation["security"]), path
        assert ({"400", "413", "422"} <= statuses) == (method == "post"), path
        for status in statuses:
            content = operation["responses"][status]["content"]
            assert list(content) == ["application/problem+json"]


def test_bodies_are_described_with_the_schema_that_is_served(api: Api) -> None:
    paths = described(api)["paths"]
    body = paths["/predict"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    row = body["properties"]["features"]["oneOf"][0]
    assert set(row["properties"]) == {"age", "plan"}
    assert row["examples"] == [{"age": 0.0, "plan": "basic"}]
    empty = paths["/problems/empty/predict"]["post"]["requestBody"]["content"]
    unknown = empty["application/json"]["schema"]["properties"]["features"]["oneOf"][0]
    assert "properties" not in unknown


def test_the_example_is_answered_as_described(api: Api) -> None:
    paths = described(api)["paths"]
    body = paths["/predict"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    [example] = body["properties"]["features"]["oneOf"][0]["examples"]
    single = api.predict(features=example)
    batch = send_json(api, {"rows": [example, {}]})
    for path, answer in (("/predict", single), ("/predict/batch", batch)):
        assert answer.status_code == 200
        schema = paths[path]["post"]["responses"]["200"]["content"]["application/json"]["schema"]
        jsonschema_rs.validate(schema, answer.json())


def test_the_description_follows_the_model_that_is_served(open_settings: Settings) -> None:
    store = open_settings.store
    promote(store, write_classifier(store), 1)
    with running(open_settings) as api:
        assert "age" in api.client.get("/openapi.json").text
        promote(store, write_colours(store, version="2"), 2, version="2")
        api.serves("2")
        text = api.client.get("/openapi.json").text
    assert '"age"' not in text
    assert '"x"' in text


def test_every_reference_leads_somewhere(api: Api) -> None:
    document = described(api)
    schemas = document["components"]["schemas"]
    for name in _references(document):
        assert name in schemas


def _references(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        for key, value in part.items():
            if key == "$ref":
                yield value.removeprefix("#/components/schemas/")
            else:
                yield from _references(value)
    elif isinstance(part, list):
        for value in part:
            yield from _references(value)


def test_the_document_is_one_of_openapi(api: Api) -> None:
    document = described(api)
    assert document["openapi"].startswith("3.1")
    assert document["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"
    for _, _, operation in each_operation(document):
        for part in (*operation["responses"].values(), operation.get("requestBody", {})):
            for content in part.get("content", {}).values():
                schema = {**content["schema"], "components": document["components"]}
                jsonschema_rs.validator_for(schema)
