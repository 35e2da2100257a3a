"""Generated requests against the running application and its own description."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given
from hypothesis import settings as given_settings
from hypothesis.errors import Unsatisfiable
from pydantic import SecretStr
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

import api as api_package
from api.documentation_routes import operations
from settings import Settings
from tests.api.servers import Api, running, wait_until
from tests.factories_bundles import promote, write_classifier

CHECKS = (
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
)
# Generated texts this long are not in our own answers by chance, unless they were drawn from our
# own code: constants of it are among what is generated ("request_", "invalid_").
ECHO_LENGTH = 8
OUR_WORDS = "\n".join(path.read_text() for path in Path(api_package.__path__[0]).rglob("*.py"))
QUIET = given_settings(
    deadline=None, suppress_health_check=list(HealthCheck), derandomize=True, database=None
)
TOKEN = "for-these-tests-alone"
OPENS = {"Authorization": f"Bearer {TOKEN}"}
# In each of two modes: bodies that fit the description, and bodies that do not.
BODY_CASES = 210
PLAIN_CASES = 20
ROUTES = [(operation.method, operation.path) for operation in operations(None)]


@schemathesis.serializer("text/csv", "application/vnd.apache.arrow.stream")
def as_sent(_context: Any, value: Any) -> bytes:
    """Bodies that are no JSON go as they are."""
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "replace")


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """One server for all requests."""
    home = tmp_path_factory.mktemp("home")
    settings = Settings(_env_file=None, home=home, api_token=SecretStr(TOKEN))  # type: ignore[call-arg]
    promote(settings.store, write_classifier(settings.store), generation=1)
    with running(settings) as server:
        wait_until(lambda: server.health()["status"] == "ok")
        yield server


@pytest.fixture(scope="module")
def description(api: Api) -> Any:
    return schemathesis.openapi.from_url(f"http://127.0.0.1:{api.port}/openapi.json")


def hold_to_description(case: Case) -> None:
    # Random tokens would be refused before anything else is looked at.
    response = case.call(headers=OPENS, timeout=20)
    case.validate_response(response, checks=list(CHECKS))
    if response.status_code != 200:
        # Made by the server itself: generated zeros may stand in it by chance.
        told = response.text.replace(response.headers.get("x-request-id", [""])[0] or "\0", "")
        for text in texts(case.body):
            assert text not in told or text in OUR_WORDS


def texts(value: Any) -> Iterator[str]:
    """The longer texts of a body, which no refusal may repeat."""
    if isinstance(value, str) and len(value) >= ECHO_LENGTH and value.strip():
        yield value
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield from texts(inner)
            if name not in KNOWN:
                yield from texts(name)
    elif isinstance(value, list):
        for inner in value:
            yield from texts(inner)


KNOWN = {"features", "event_time", "event_times", "prediction_id", "prediction_ids", "observed_at"}


def hold_all(api: Api, described: Any, method: str, path: str, n_cases: int) -> int:
    """How many generated requests were answered as described."""
    n_held = 0
    for mode in GenerationMode:
        strategy = described[path][method].as_strategy(generation_mode=mode)

        @given(case=strategy)
        @given_settings(QUIET, max_examples=n_cases)
        def hold(case: Case) -> None:
            nonlocal n_held
            n_held += 1
            hold_to_description(case)

        try:
            hold()
        except Unsatisfiable:
            assert mode is GenerationMode.NEGATIVE  # nothing to get wrong
    return n_held


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_every_answer_is_as_described(api: Api, description: Any, method: str, path: str) -> None:
    n_cases = BODY_CASES if method == "post" else PLAIN_CASES
    assert hold_all(api, description, method, path, n_cases)


def test_what_is_echoed_is_found() -> None:
    assert list(texts({"features": {"a": "long enough"}, "left out": ["short"]})) == [
        "long enough",
        "left out",
    ]
    assert "long enough" not in OUR_WORDS


def test_the_normal_run_has_thousands_of_cases() -> None:
    n_modes = len(GenerationMode)
    n_bodies = sum(method == "post" for method, _ in ROUTES)
    assert n_modes * n_bodies * BODY_CASES >= 2_000


@pytest.mark.long
@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_every_answer_is_as_described_at_length(
    api: Api, description: Any, method: str, path: str
) -> None:
    assert hold_all(api, description, method, f"/problems/demo{path}", 20 * BODY_CASES)
