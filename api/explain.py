"""One explanation: contributions that were seen to sum to what the model answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from api.explain_parts import Attribution, Explainer, ExplanationError, Floats, Outputs
from api.session import ServedModel
from storage.encoding import Value
from storage.manifest import FeatureSpec

# How far an explanation may be from the float32 graph, as a share of what it adds up.
TOLERANCE = 1e-4
ROUNDING = 1e-6


def explain(
    model: ServedModel, explainer: Explainer, values: Sequence[Value], row: list[float]
) -> dict[str, Any]:
    """Contributions to a model's answer for one encoded row, largest first.

    Explained is the positive class, the most probable class of several, or the value. Raises
    ExplanationError with code ``sum`` when base value and contributions do not add up to what
    the model's graph answers.
    """
    output = model.score(row)
    column = _column(model, output)
    position = explainer.outputs.position(column)
    numbers = np.array(row, dtype=np.float32)
    predictions = explainer.predict(numbers)
    part = explainer.attribute(numbers, position)
    _check(part, predictions, position, explainer.outputs, output)
    features = model.manifest.features
    contributions = part.contributions.tolist()
    order = sorted(range(len(features)), key=lambda place: -abs(contributions[place]))
    document: dict[str, Any] = {
        "scale": explainer.outputs.scale,
        "base_value": part.base,
        "prediction_on_scale": float(predictions[position]),
        "contributions": [
            {
                "feature": features[place].name,
                "value": values[place],
                "contribution": contributions[place],
            }
            for place in order
        ],
        "method": explainer.method,
        "is_exact": True,
    }
    if explainer.outputs.calibration is not None:
        slope, intercept = explainer.outputs.calibration
        document["calibration"] = {"slope": slope, "intercept": intercept}
    if groups := _groups(features, contributions):
        document["groups"] = groups
    if model.labels:
        document["class"] = model.labels[column]
    return document


def _column(model: ServedModel, output: list[float]) -> int:
    if model.manifest.task == "multiclass":
        return output.index(max(output))
    return 1 if model.manifest.task == "binary" else 0


def _check(
    part: Attribution, predictions: Floats, position: int, outputs: Outputs, output: list[float]
) -> None:
    size = abs(part.base) + float(np.abs(part.contributions).sum())
    gap = abs(part.base + float(part.contributions.sum()) - float(predictions[position]))
    if not gap <= ROUNDING * max(size, 1e-300):
        raise ExplanationError("sum", "the contributions do not sum to the prediction")
    expected = outputs.answer(predictions)
    found = np.array([output[column] for column in outputs.columns])
    if outputs.scale == "log-odds" or outputs.calibration is not None:
        # What the tolerance on this scale means for a probability, and float32's rounding.
        near = TOLERANCE * max(size, 1.0)
        spread = outputs.answer(predictions + near) - outputs.answer(predictions - near)
        allowed = np.abs(spread) + ROUNDING
    else:
        least = 1.0 if outputs.scale == "probability" else 1e-300
        allowed = np.full(len(found), TOLERANCE * max(size, least))
    if not (np.abs(expected - found) <= allowed).all():
        raise ExplanationError("sum", "the explanation does not sum to what the model answers")


def _groups(features: Sequence[FeatureSpec], contributions: list[float]) -> list[dict[str, Any]]:
    """Sums by group, largest first; empty when no feature has a group.

    Features without one stand together under null, so that these too sum to the prediction.
    """
    sums: dict[str | None, float] = {}
    for feature, contribution in zip(features, contributions, strict=True):
        sums[feature.group] = sums.get(feature.group, 0.0) + contribution
    if not sums.keys() - {None}:
        return []
    ordered = sorted(sums.items(), key=lambda item: -abs(item[1]))
    return [{"group": group, "contribution": total} for group, total in ordered]
