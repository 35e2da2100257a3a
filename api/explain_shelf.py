"""Explainers of the models in service, loaded when first asked for and used off the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from loguru import logger

from api.errors import ApiError
from api.explain import explain
from api.explain_file import read_explainer
from api.explain_parts import Explainer, ExplanationError
from api.session import ServedModel
from storage.bundles import BundleError, read_bundle
from storage.encoding import Value

UNAVAILABLE = "explanation_unavailable"
N_KEPT = 2
# Each costs milliseconds of one thread; more than these would wait for longer than a client does.
N_WAITING = 100


class Shelf:
    """The explainers of one problem's newest models."""

    def __init__(self, store: Path, problem: str) -> None:
        self._store = store
        self._kept: dict[str, Explainer] = {}
        self._n_waiting = 0
        # One thread: explanations may take their time, predictions may not.
        self._executor = ThreadPoolExecutor(1, thread_name_prefix=f"explain-{problem}")

    async def explain(
        self, model: ServedModel, values: Sequence[Value], row: list[float]
    ) -> dict[str, Any]:
        """See `api.explain.explain`.

        Raises ApiError 422 when the model has no explanations, 503 when this one cannot be given.
        """
        if self._n_waiting >= N_WAITING:
            raise ApiError(503, "busy", "too many explanations wait", {"Retry-After": "1"})
        self._n_waiting += 1
        try:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._executor, self._work, model, values, row)
        except ExplanationError as error:
            raise _refusal(error) from None
        except BundleError:
            raise ApiError(503, UNAVAILABLE, "the model's bundle cannot be read now") from None
        finally:
            self._n_waiting -= 1

    def close(self) -> None:
        """Start nothing more."""
        self._executor.shutdown(wait=False, cancel_futures=True)

    def _work(self, model: ServedModel, values: Sequence[Value], row: list[float]) -> Any:
        name = model.pointer.bundle
        explainer = self._kept.get(name)
        if explainer is None:
            explainer = load_explainer(self._store, model)
            while len(self._kept) >= N_KEPT:
                del self._kept[next(iter(self._kept))]
            self._kept[name] = explainer
        try:
            return explain(model, explainer, values, row)
        except ExplanationError as error:
            logger.error("{}: version {}: {}", name[:12], model.manifest.version, error)
            raise


def load_explainer(store: Path, model: ServedModel) -> Explainer:
    """The explainer in a served model's bundle, whose hashes are verified again.

    Raises BundleError, or ExplanationError with code ``none`` or ``damaged``.
    """
    bundle = read_bundle(store, model.manifest.problem, model.pointer.bundle)
    if bundle.explanation is None:
        raise ExplanationError("none", "this model's bundle holds no explanation")
    return read_explainer(bundle.explanation, len(model.manifest.features))


def _refusal(error: ExplanationError) -> ApiError:
    # That an answer and its explanation disagree is our fault, not the client's.
    return ApiError(503 if error.code == "sum" else 422, UNAVAILABLE, str(error))
