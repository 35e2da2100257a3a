from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from fastapi import FastAPI
from starlette.routing import Route

from api.app import UNDECLARED, create_app, required_scope
from settings import Settings
from tests.api.servers import CHECKOUT, Api

HEAVY = ("pandas", "sklearn", "mlflow", "prefect", "evidently", "skl2onnx", "scipy", "learning")


def test_the_api_imports_nothing_heavy() -> None:
    code = f"import sys, api.serve; print([m for m in {HEAVY!r} if m in sys.modules])"
    found = subprocess.run(
        [sys.executable, "-c", code], cwd=CHECKOUT, capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == "[]"


def test_every_route_declares_its_scope(settings: Settings) -> None:
    app = create_app(settings, ("first", "second"))
    scopes = {getattr(route, "path", ""): required_scope(route) for route in app.routes}
    assert UNDECLARED not in scopes.values()
    assert scopes["/predict"] == scopes["/problems/second/predict"] == "predict"
    assert scopes["/feedback"] == "feedback"
    assert {path for path, scope in scopes.items() if scope is None and "problems" not in path} == {
        "/docs",
        "/openapi.json",
        "/health",
        "/health/live",
        "/health/ready",
    }


def test_a_route_without_a_scope_is_noticed() -> None:
    app = FastAPI(openapi_url=None)

    @app.get("/forgotten")
    def forgotten() -> None: ...

    assert [required_scope(route) for route in app.routes] == [UNDECLARED]
    assert required_scope(Route("/raw", forgotten)) == UNDECLARED


@pytest.mark.parametrize("problems", [(), ("../secret",), ("",), ("ok", "Not OK")])
def test_impossible_problems_are_refused(settings: Settings, problems: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="expected names like"):
        create_app(settings, problems)


def test_the_description_names_every_route_of_the_contract(api: Api) -> None:
    description = api.client.get("/openapi.json").json()
    for prefix in ("", "/problems/demo"):
        for path in (
            "/predict",
            "/feedback",
            "/predictions/{prediction_id}",
            "/model/info",
            "/drift/report",
            "/health",
            "/health/live",
            "/health/ready",
            "/metrics",
        ):
            assert prefix + path in description["paths"]
    ids = [
        operation["operationId"]
        for operations in description["paths"].values()
        for operation in operations.values()
    ]
    assert len(ids) == len(set(ids))


def test_the_documentation_page_needs_nothing_from_elsewhere(api: Api) -> None:
    page = api.client.get("/docs")
    assert page.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert "http://" not in page.text
    assert "https://" not in page.text
    assert 'fetch("openapi.json")' in page.text


def test_no_file_of_the_api_reads_the_environment() -> None:
    for path in sorted((CHECKOUT / "api").glob("*.py")):
        assert "os.environ" not in Path(path).read_text()
