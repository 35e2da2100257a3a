"""The application: every route, for the default problem and for each by name."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from fastapi import Depends, FastAPI, Request
from fastapi.routing import APIRoute
from fastapi.telemetry import TelemetryConfig
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp

from api import documentation, errors, health, info
from api.auth import Requires
from api.batch import PredictBatch
from api.direct import Answerer
from api.exchange import Envelope
from api.explain_routes import Explain, Explained
from api.feedback import Feedback
from api.generate import Generate
from api.limits import Limited
from api.predict import Predict
from api.routes import Reading
from api.runtime import Runtime
from settings import Settings

UNDECLARED = "undeclared"
# Its logs would carry exception messages, which may quote what was sent; we measure ourselves.
SILENT: TelemetryConfig = {
    "tracing": False,
    "metrics": False,
    "logs": False,
    "operation_spans": False,
    "auto_configure": False,
}
NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


class Application(FastAPI):
    """FastAPI with one thin layer around it, and a way past its router for what must be fast."""

    runtime: Runtime
    hot: dict[str, ASGIApp]
    direct: dict[str, Answerer]

    def build_middleware_stack(self) -> ASGIApp:
        """The layers around the routes, built at the first request."""
        # The outermost of the framework's own would answer failures; the envelope does.
        inner: Any = super().build_middleware_stack()
        limits = self.runtime.limits
        hot = {path: Limited(endpoint, limits) for path, endpoint in self.hot.items()}
        return Envelope(Limited(inner.app, limits), self.runtime.metrics, hot)


def create_app(
    settings: Settings,
    problems: tuple[str, ...],
    shared: Path | None = None,
    is_alone: bool = True,
) -> Application:
    """The API of these problems; its models, journal and threads live as long as its lifespan.

    ``shared`` is a folder that the workers of one server share. Unless ``is_alone``, a process
    beside it moves the journal into SQL. Raises ValueError for impossible
    names, or when a route does not declare its scope.
    """
    if not problems or not all(map(NAME.fullmatch, problems)):
        raise ValueError(f"problems: found {problems}; expected names like {NAME.pattern}")
    runtime = Runtime(settings, problems, shared, is_alone)
    app = Application(
        title="Perennial",
        version=_version(),
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        lifespan=_lifespan,
        redirect_slashes=False,
        telemetry=SILENT,
    )
    app.state.runtime = app.runtime = runtime
    app.hot, app.direct = {}, {}
    errors.install(app)
    for reading in documentation.ROUTES:
        _add_reading(app, reading, "", problems[0])
    prefixes = {"": problems[0]} | {f"/problems/{name}": name for name in problems}
    for prefix, problem in prefixes.items():
        _add_problem(app, runtime, prefix, problem)
    app.openapi = lambda: documentation.describe(app, list(prefixes))  # type: ignore[method-assign]
    for route in app.routes:
        if required_scope(route) == UNDECLARED:
            raise ValueError(f"route {getattr(route, 'path', route)!r} declares no scope")
    return app


def required_scope(route: BaseRoute) -> str | None:
    """The scope that a route asks for, None when anybody may ask, else `UNDECLARED`."""
    if isinstance(route, APIRoute):
        for dependency in route.dependencies:
            if isinstance(dependency.dependency, Requires):
                return dependency.dependency.scope
    elif isinstance(route, Route):
        scope: str | None = getattr(route.endpoint, "required_scope", UNDECLARED)
        return scope
    return UNDECLARED


def _add_problem(app: Application, runtime: Runtime, prefix: str, problem: str) -> None:
    predict = Predict(runtime, problem, f"{prefix}/predict")
    app.direct[predict.path] = predict
    for endpoint in (
        Explained(predict, runtime, problem),
        Explain(runtime, problem, f"{prefix}/explain"),
        PredictBatch(runtime, problem, f"{prefix}/predict/batch"),
        Feedback(runtime, problem, f"{prefix}/feedback"),
        Generate(runtime, problem, f"{prefix}/generate"),
    ):
        # The route is for other methods and for the description; what is asked for by its exact
        # path does not pass through the router, which costs half of the requests a second.
        app.router.routes.append(Route(endpoint.path, endpoint, methods=["POST"]))
        app.hot[endpoint.path] = endpoint
    for reading in (*health.ROUTES, *info.ROUTES):
        _add_reading(app, reading, prefix, problem)


def _add_reading(app: FastAPI, reading: Reading, prefix: str, problem: str) -> None:
    requires = Requires(reading.scope, reading.is_free_on_loopback)
    app.add_api_route(
        prefix + reading.path,
        reading.endpoint,
        dependencies=[Depends(requires), Depends(_chooser(problem))],
        **reading.options,
    )


def _chooser(problem: str) -> Callable[[Request], Awaitable[None]]:
    async def choose(request: Request) -> None:
        request.state.problem = problem

    return choose


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    runtime: Runtime = app.state.runtime
    await asyncio.to_thread(runtime.start)
    try:
        yield
    finally:
        await asyncio.to_thread(runtime.stop)


def _version() -> str:
    try:
        return version("perennial")
    except PackageNotFoundError:
        return "0"
