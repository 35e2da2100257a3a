"""The hostile inputs of `/predict` sent to every route that reads a body; odd requests to all."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from api.documentation_routes import operations
from settings import Settings
from tests.api.servers import Api, running, wait_until
from tests.api.test_hostile_input import BODIES
from tests.factories_bundles import promote, write_classifier

ROUTES = [(operation.method.upper(), operation.path) for operation in operations(None)]
READERS = [path for method, path in ROUTES if method == "POST"]
KINDS = ("application/json", "text/csv", "application/vnd.apache.arrow.stream", "text/plain", "é")
SENT = ("secret-name", "xxxx", "9999", "tomorrow", "NaN")


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """One server for all of it."""
    home = tmp_path_factory.mktemp("home")
    settings = Settings(_env_file=None, home=home, api_insecure=True)  # type: ignore[call-arg]
    promote(settings.store, write_classifier(settings.store), generation=1)
    with running(settings) as server:
        wait_until(lambda: server.health()["status"] == "ok")
        yield server


@pytest.mark.parametrize("path", READERS)
@pytest.mark.parametrize("name", BODIES)
def test_every_route_refuses_what_is_hostile(api: Api, path: str, name: str) -> None:
    for kind in KINDS:
        began = time.process_time()
        headers = {b"Content-Type": kind.encode()}
        refusal = api.client.post(path, content=BODIES[name], headers=headers)
        assert refusal.status_code in {400, 413, 415, 422}
        assert time.process_time() - began < 2
        assert refusal.headers["content-type"] == "application/problem+json"
        assert len(refusal.content) < 800
        assert not any(sent in refusal.text for sent in SENT)


@pytest.mark.parametrize(("method", "path"), ROUTES)
@pytest.mark.parametrize(
    "query", ["?a=%00", "?%ff=%ff", "?on_error=%00", "?explain=%F0%9F", "?" + "a" * 5000]
)
def test_odd_queries_are_no_server_errors(api: Api, method: str, path: str, query: str) -> None:
    url = path.replace("{prediction_id}", "p1") + query
    answer = api.client.request(method, url, json={})
    assert answer.status_code < 500
    assert "aaaa" not in answer.text


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_other_methods_are_refused_with_those_that_are_allowed(
    api: Api, method: str, path: str
) -> None:
    url = path.replace("{prediction_id}", "p1")
    for other in {"GET", "POST", "PUT", "PATCH", "DELETE"} - {method}:
        refusal = api.client.request(other, url)
        assert refusal.status_code == 405
        assert method in refusal.headers["allow"]
        assert refusal.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    "prediction_id", ["%00", "a%0a", "%ed%a0%80", "%ff%fe", "..%2f..", "x" * 65, "%F0%9F%98%80"]
)
def test_hostile_ids_are_refused(api: Api, prediction_id: str) -> None:
    refusal = api.client.get(f"/predictions/{prediction_id}")
    assert refusal.status_code in {404, 422}
    assert refusal.headers["content-type"] == "application/problem+json"
