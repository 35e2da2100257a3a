"""Drift of what the model answers and of what then happens, beside drift of its inputs."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from learning.drift import FeatureDrift, check_drift, effect_name
from learning.drift_reference import (
    ReferenceStatistics,
    from_arrays,
    summarise_stream,
    to_arrays,
)
from learning.problem import DriftRules, Feature
from learning.rows import Floats, Matrix, Rows, Schema

if TYPE_CHECKING:
    from learning.drift_online import ConceptDrift
    from learning.drift_result import DriftResult

INPUTS, PREDICTION, LABEL = "inputs", "prediction", "label"
References = Mapping[str, ReferenceStatistics]


def prediction_feature(schema: Schema) -> Feature:
    """What stands for the predictions: a class where there are more than two, else a number."""
    if schema.task == "multiclass":
        return Feature(name=PREDICTION, kind="categorical", categories=schema.classes)
    return Feature(name=PREDICTION)


def label_feature(schema: Schema) -> Feature:
    """What stands for the labels: a number in a regression, else a class."""
    if schema.task == "regression":
        return Feature(name=LABEL)
    return Feature(name=LABEL, kind="categorical", categories=schema.classes)


def encode_predictions(output: Floats, schema: Schema) -> Matrix:
    """Column [n, 1] of outputs [n, classes or 1]: positive probability, class index or value."""
    if schema.task == "multiclass":
        return np.asarray(np.argmax(output, axis=1)[:, None], dtype=np.float32)
    return np.asarray(output[:, -1:], dtype=np.float32)


def encode_known_labels(y: Floats) -> Matrix:
    """Column [n, 1] of the labels that are known."""
    return y[~np.isnan(y)].astype(np.float32)[:, None]


def keep_references(
    reference: Rows, training: Rows, holdout_output: Floats, schema: Schema, rules: DriftRules
) -> dict[str, ReferenceStatistics]:
    """Statistics of inputs, predictions and labels to compare later windows with.

    ``reference`` is thinned from ``training``. Predictions are those of the holdout, since a
    model is surer of rows that it was fitted on than of any later ones.
    """
    predicted = encode_predictions(holdout_output, schema)
    labels = encode_known_labels(reference.y), encode_known_labels(training.y)
    return {
        INPUTS: summarise_stream(reference.x, training.x, schema.features, rules),
        PREDICTION: summarise_stream(predicted, predicted, [prediction_feature(schema)], rules),
        LABEL: summarise_stream(*labels, [label_feature(schema)], rules),
    }


def references_file(references: References) -> bytes:
    """The references as an uncompressed ``.npz`` file, without pickles."""
    buffer = io.BytesIO()
    arrays = {
        f"{part}.{name}": array
        for part, statistics in references.items()
        for name, array in to_arrays(statistics).items()
    }
    np.savez(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()


def read_references(content: bytes) -> dict[str, ReferenceStatistics]:
    """The references of a file. Raises ValueError when it is broken or of another format."""
    parts: dict[str, dict[str, np.ndarray]] = {}
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            for key in arrays.files:
                part, _, name = key.partition(".")
                parts.setdefault(part, {})[name] = arrays[key]
    except (OSError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f"the reference statistics cannot be read: {error}") from error
    return {part: from_arrays(named) for part, named in parts.items()}


def check_column(
    reference: ReferenceStatistics | None, current: Matrix, feature: Feature, rules: DriftRules
) -> FeatureDrift:
    """One column [n, 1] against its reference; it drifts by itself below ``family_alpha``."""
    if reference is None:
        return FeatureDrift(
            feature.name, feature.kind, not_testable="the model's bundle has no reference of it"
        )
    alone = rules.model_copy(update={"alpha": min(rules.alpha, rules.family_alpha)})
    return check_drift(reference, current, [feature], alone).features[0]


@dataclass(frozen=True)
class Watched:
    """What a check saw beside the inputs: predictions, labels, and errors of served answers."""

    prediction: FeatureDrift
    label: FeatureDrift
    concept: ConceptDrift

    def sentences(self) -> tuple[str, ...]:
        """Each in plain words."""
        return (
            f"predictions: {column_words(self.prediction)}",
            f"labels: {column_words(self.label)}",
            f"concept: {self.concept.reason}",
        )

    def evidence(self, result: DriftResult) -> dict[str, Any]:
        """All of it with the groups' status, as plain values to be kept."""
        return {
            "groups": [asdict(group) for group in result.groups],
            "sentences": list(self.sentences()),
            "prediction": asdict(self.prediction),
            "label": asdict(self.label),
            "concept": asdict(self.concept),
        }


def column_words(found: FeatureDrift) -> str:
    """Whether one column moved, in plain words with its numbers."""
    if found.not_testable is not None:
        return f"not testable: {found.not_testable}"
    numbers = f"{effect_name(found)} {found.effect:.2f}, p {found.p_adjusted:.2g}"
    return f"{'moved' if found.is_drifted else 'steady'} ({numbers})"
