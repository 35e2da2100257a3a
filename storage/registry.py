"""MLflow: the record of every training run and model version. The only importer of mlflow.

MLflow may be down or hang: each call is bounded in time, and RegistryError says what was lost so
that the caller can go on and record it later.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache, wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from storage.kill_points import reach

P = ParamSpec("P")
R = TypeVar("R")

ALIASES = ("champion", "challenger", "candidate")
_BOUNDS = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "1",
}


class RegistryError(Exception):
    """MLflow did not answer as expected; what it should have recorded can be recorded later."""


# Until when a server that did not answer is not asked again: one tick must not wait for it twice.
REST_SECONDS = 15.0
_silent_until: dict[str, float] = {}


def _bounded(function: Callable[P, R]) -> Callable[P, R]:
    """Turn everything MLflow may raise into RegistryError."""

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        uri = str(args[0] if args else kwargs.get("uri"))
        if time.monotonic() < _silent_until.get(uri, 0.0):
            raise RegistryError(f"MLflow: {function.__name__}: it did not answer a moment ago")
        try:
            return function(*args, **kwargs)
        except Exception as error:
            if "failed with exception" in str(error):  # no connection, or no answer in time
                _silent_until[uri] = time.monotonic() + REST_SECONDS
            line = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
            raise RegistryError(f"MLflow: {function.__name__}: {line}") from error

    return call


@lru_cache(maxsize=4)
def _client(uri: str) -> Any:
    for name, value in _BOUNDS.items():
        os.environ.setdefault(name, value)
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=uri, registry_uri=uri)


@_bounded
def open_run(uri: str, problem: str, name: str, tags: Mapping[str, str], home: Path) -> str:
    """Begin a training run and return its id.

    Asking again with the same ``perennial.run_id`` tag returns the run that was begun before.
    """
    client = _client(uri)
    experiment = _experiment(client, problem, home)
    mine = f"tags.`perennial.run_id` = '{tags['perennial.run_id']}'"
    known = client.search_runs([experiment], mine, max_results=1)
    if known:
        return str(known[0].info.run_id)
    return str(client.create_run(experiment, run_name=name, tags=dict(tags)).info.run_id)


@_bounded
def close_run(
    uri: str,
    problem: str,
    mlflow_run_id: str,
    parameters: Mapping[str, Any],
    metrics: Mapping[str, float],
    folder: Path,
) -> int:
    """Log a run's figures and all files of a folder, register its bundle, return the version."""
    from mlflow.entities import Metric, Param

    client = _client(uri)
    now = int(time.time() * 1000)
    client.log_batch(
        mlflow_run_id,
        metrics=[Metric(name, value, now, 0) for name, value in metrics.items()],
        params=[Param(name, str(value)[:500]) for name, value in parameters.items()],
    )
    client.log_artifacts(mlflow_run_id, str(folder))
    client.set_terminated(mlflow_run_id)
    reach("register.files_logged")
    return _register(client, problem, mlflow_run_id)


@_bounded
def record_trials(
    uri: str, problem: str, mlflow_run_id: str, trials: Sequence[Mapping[str, Any]], metric: str
) -> None:
    """Make each trial of a search a child run; those that are there already are left as they are.

    A trial has ``round``, ``candidate``, ``model``, ``window``, ``parameters``, ``score`` and
    ``rows``.
    """
    from mlflow.entities import Metric, Param, RunTag

    client = _client(uri)
    experiment = client.get_run(mlflow_run_id).info.experiment_id
    mine = f"tags.`mlflow.parentRunId` = '{mlflow_run_id}'"
    known = {
        run.data.tags.get("perennial.trial")
        for run in client.search_runs([experiment], mine, max_results=1_000)
        if run.info.status == "FINISHED"
    }
    for number, trial in enumerate(trials):
        if str(number) in known:
            continue
        tags = {"mlflow.parentRunId": mlflow_run_id, "perennial.trial": str(number)}
        child = client.create_run(experiment, run_name=str(trial["candidate"])[:250], tags=tags)
        settings = {**trial["parameters"], **{k: trial[k] for k in ("model", "window", "round")}}
        now = int(time.time() * 1000)
        client.log_batch(
            child.info.run_id,
            metrics=[Metric(metric, float(trial["score"]), now, 0)],
            params=[Param(name, str(value)[:500]) for name, value in settings.items()],
            tags=[RunTag("perennial.problem", problem)],
        )
        client.set_terminated(child.info.run_id)


def _experiment(client: Any, problem: str, home: Path) -> str:
    found = client.get_experiment_by_name(f"perennial/{problem}")
    if found is not None:
        return str(found.experiment_id)
    location = None
    if str(client.tracking_uri).startswith("sqlite"):
        # Without a server the artifacts would land in the working folder.
        location = (home / "mlflow-artifacts").resolve().as_uri()
    return str(client.create_experiment(f"perennial/{problem}", artifact_location=location))


def _register(client: Any, problem: str, run_id: str) -> int:
    name = model_name(problem)
    for version in client.search_model_versions(f"run_id = '{run_id}'"):
        return int(version.version)
    if not client.search_registered_models(f"name = '{name}'"):
        client.create_registered_model(name)
    source = f"{client.get_run(run_id).info.artifact_uri}/bundle"
    version = int(client.create_model_version(name, source, run_id=run_id).version)
    reach("register.version_made")
    return version


def model_name(problem: str) -> str:
    """Name of the problem's registered model."""
    return f"perennial-{problem}"


@_bounded
def set_alias(uri: str, problem: str, alias: str, mlflow_version: int) -> None:
    """Move one of the aliases champion, challenger and candidate to a registered version."""
    _client(uri).set_registered_model_alias(model_name(problem), alias, str(mlflow_version))


@_bounded
def aliases(uri: str, problem: str) -> dict[str, int]:
    """The registered version that each alias stands at; empty before the first registration."""
    client = _client(uri)
    if not client.search_registered_models(f"name = '{model_name(problem)}'"):
        return {}
    found = client.get_registered_model(model_name(problem)).aliases
    return {alias: int(version) for alias, version in found.items()}


@_bounded
def states(uri: str, problem: str, newest: int) -> dict[int, str]:
    """The tag `state` of the newest registered versions; empty where it has none."""
    found = _client(uri).search_model_versions(
        f"name = '{model_name(problem)}'", max_results=newest, order_by=["version_number DESC"]
    )
    return {int(one.version): one.tags.get("state", "") for one in found}


@_bounded
def tag_version(uri: str, problem: str, mlflow_version: int, tags: Mapping[str, str]) -> None:
    """Tag a registered version, for example with the gate's reason."""
    client = _client(uri)
    for key, value in tags.items():
        client.set_model_version_tag(model_name(problem), str(mlflow_version), key, value[:5000])


@_bounded
def newest_version(uri: str, problem: str) -> int:
    """The highest of our version numbers that any run of a problem carries; 0 without runs."""
    client = _client(uri)
    found = client.get_experiment_by_name(f"perennial/{problem}")
    if found is None:
        return 0
    runs = client.search_runs([found.experiment_id], max_results=1000)
    return max((int(run.data.tags.get("perennial.version", 0)) for run in runs), default=0)
