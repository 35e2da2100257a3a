"""Why a stored prediction came out as it did, by the model that answered it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from api.explain import explain
from api.explain_parts import ExplanationError
from api.explain_shelf import load_explainer
from api.session import ServedModel, load_model
from api.sql import find_bundle, find_prediction
from storage.pointers import Pointer

if TYPE_CHECKING:
    from sqlalchemy import Engine

SAME = 1e-4


def explain_prediction(
    engine: Engine, store: Path, problem: str, prediction_id: str
) -> dict[str, Any] | None:
    """A stored prediction's answer with its explanation; None when there is no such prediction.

    Raises ExplanationError or BundleError when the model that answered cannot explain it.
    """
    found = find_prediction(engine, problem, prediction_id)
    if found is None:
        return None
    version = found["model_version"]
    model = load_former(store, problem, version, find_bundle(engine, problem, version))
    values = found["features"]
    row = model.encoder.encode(values)
    refuse_other_answer(model, row, found["probabilities"], found["prediction"])
    explanation = explain(model, load_explainer(store, model), values, row)
    return {**found["answer"], "key": found["key"], "explanation": explanation}


def load_former(store: Path, problem: str, version: str, bundle: str | None) -> ServedModel:
    """The model of a version that may no longer be in service.

    Raises ExplanationError without a bundle's name, BundleError when the bundle is gone.
    """
    if bundle is None:
        raise ExplanationError("missing", f"version {version}, which answered, has no bundle")
    return load_model(store, Pointer(problem, 0, version, bundle, datetime.now(UTC)))


def refuse_other_answer(
    model: ServedModel, row: list[float], probabilities: Sequence[float] | None, value: Any
) -> None:
    """Raise ExplanationError unless the model still gives the answer that was stored."""
    output = model.score(row)
    stored = [value] if probabilities is None else probabilities
    is_same = len(stored) == len(output) and all(
        math.isclose(new, then, rel_tol=SAME, abs_tol=SAME if probabilities else 0.0)
        for new, then in zip(output, stored, strict=True)
    )
    if not is_same:
        raise ExplanationError("sum", "the model no longer gives the answer that was stored")
