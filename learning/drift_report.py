"""Evidently's document of two windows and the served answers: for people, beside our verdict."""

from __future__ import annotations

import html
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from learning.problem import Feature, Task
from learning.rows import Floats, Matrix

MOST_ROWS = 1_000
MOST_COLUMNS = 40
LEAST_ANSWERS = 30


@dataclass(frozen=True)
class Answers:
    """Served answers whose label has arrived: labels ``y`` [n], ``output`` [n, classes or 1]."""

    task: Task
    classes: tuple[str, ...]
    y: Floats
    output: Floats
    threshold: float


def render_report(
    reference: Matrix,
    current: Matrix,
    features: Sequence[Feature],
    alpha: float,
    share: float,
    seed: int = 0,
    answers: Answers | None = None,
) -> str | None:
    """HTML of Evidently's presets on a bounded sample, None when nothing can be shown.

    Data drift and data summary, and classification or regression where there are answers.
    Columns that Evidently cannot take (empty, or constant on both sides) are left out, and beyond
    40 columns only the first ones are drawn; the verdict itself never rests on this document.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its libraries warn of their own future changes
        parts = {
            "Data": _data(reference, current, features, alpha, share, seed),
            "Answers whose label has arrived": _answers(answers, seed),
        }
    shown = {title: document for title, document in parts.items() if document is not None}
    if len(shown) > 1:
        return _page(shown)
    return next(iter(shown.values()), None)


def _data(
    reference: Matrix,
    current: Matrix,
    features: Sequence[Feature],
    alpha: float,
    share: float,
    seed: int,
) -> str | None:
    left = frame_of(_sample(reference, seed), features)
    right = frame_of(_sample(current, seed + 1), features)
    shown = [f for f in features if _is_drawable(left[f.name], right[f.name])][:MOST_COLUMNS]
    if not shown:
        return None
    from evidently import DataDefinition, Dataset, Report
    from evidently.presets import DataDriftPreset, DataSummaryPreset

    definition = DataDefinition(
        numerical_columns=[f.name for f in shown if f.kind == "numeric"],
        categorical_columns=[f.name for f in shown if f.kind == "categorical"],
    )
    names = [f.name for f in shown]
    sides = [Dataset.from_pandas(side[names], data_definition=definition) for side in (left, right)]
    preset = DataDriftPreset(
        num_method="ks",
        num_threshold=alpha,
        cat_method="chisquare",
        cat_threshold=alpha,
        drift_share=share,
    )

    def draw(*presets: Any) -> str:
        document = Report(list(presets)).run(current_data=sides[1], reference_data=sides[0])
        return str(document.get_html_str(as_iframe=False))

    try:
        return draw(preset, DataSummaryPreset())
    except (ValueError, ArithmeticError):  # the summary takes less than the drift tests do
        return draw(preset)


def _answers(answers: Answers | None, seed: int) -> str | None:
    """The preset of the task; None where there is too little, or what Evidently cannot take."""
    if answers is None:
        return None
    frame = answers_frame(answers)
    if len(frame) > MOST_ROWS:
        frame = frame.sample(MOST_ROWS, random_state=seed).sort_index()
    if len(frame) < LEAST_ANSWERS or frame["actual"].nunique() < 2:
        return None
    from evidently import (
        BinaryClassification,
        DataDefinition,
        Dataset,
        MulticlassClassification,
        Regression,
        Report,
    )
    from evidently.presets import ClassificationPreset, RegressionPreset

    named: dict[str, Any] = {"target": "actual"}
    if answers.task == "regression":
        roles = {"regression": [Regression(**named, prediction="predicted")]}
        definition = DataDefinition(numerical_columns=["actual", "predicted"], **roles)
    else:
        named["prediction_labels"] = "predicted"
        kind: Any = MulticlassClassification(**named)
        if answers.task == "binary":
            probability = {"prediction_probas": "probability", "pos_label": answers.classes[1]}
            kind = BinaryClassification(**named, **probability)
        categorical = ["actual", "predicted"]
        definition = DataDefinition(categorical_columns=categorical, classification=[kind])
    preset = RegressionPreset() if answers.task == "regression" else ClassificationPreset()
    data = Dataset.from_pandas(frame, data_definition=definition)
    try:
        return str(Report([preset]).run(current_data=data).get_html_str(as_iframe=False))
    except (ValueError, ArithmeticError, KeyError):
        return None


def answers_frame(answers: Answers) -> pd.DataFrame:
    """Columns actual and predicted, for a binary task probability too; finite outputs only."""
    finite = np.isfinite(answers.output).all(axis=1) & np.isfinite(answers.y)
    y, output = answers.y[finite], answers.output[finite]
    if answers.task == "regression":
        return pd.DataFrame({"actual": y, "predicted": output[:, 0]})
    said = output.argmax(axis=1) if len(output) else np.zeros(0, dtype=np.intp)
    columns: dict[str, Any] = {}
    if answers.task == "binary":
        columns["probability"] = output[:, 1]
        said = (output[:, 1] >= answers.threshold).astype(np.intp)
    words = np.array(answers.classes, dtype=object)
    return pd.DataFrame({"actual": words[y.astype(np.intp)], "predicted": words[said], **columns})


def _page(documents: dict[str, str]) -> str:
    """Several documents in one file, each in a frame of its own."""
    style = "body{margin:0;font-family:sans-serif}h2{margin:1rem}iframe{border:0;width:100%;"
    frames = (
        f'<h2>{html.escape(title)}</h2><iframe title="{html.escape(title)}" '
        f'srcdoc="{html.escape(document)}"></iframe>'
        for title, document in documents.items()
    )
    return (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">'
        f"<title>Evidently report</title><style>{style}height:92vh}}</style></head><body>"
        f"{''.join(frames)}</body></html>"
    )


def frame_of(x: Matrix, features: Sequence[Feature]) -> pd.DataFrame:
    """Decoded columns by feature name; a missing or unseen category reads ``(other)``."""
    columns: dict[str, object] = {}
    for index, feature in enumerate(features):
        if feature.kind == "numeric":
            values = x[:, index].astype(np.float64)
            columns[feature.name] = np.where(np.isfinite(values), values, np.nan)
        else:
            words = np.array([*feature.categories, "(other)"], dtype=object)
            known = (x[:, index] >= 0) & (x[:, index] < len(feature.categories))
            columns[feature.name] = words[np.where(known, x[:, index], -1).astype(int)]
    return pd.DataFrame(columns)


def _sample(x: Matrix, seed: int) -> Matrix:
    if len(x) <= MOST_ROWS:
        return x
    chosen = np.random.default_rng(seed).choice(len(x), MOST_ROWS, replace=False)
    return x[np.sort(chosen)]


def _is_drawable(left: pd.Series[Any], right: pd.Series[Any]) -> bool:
    if left.notna().sum() < 2 or right.notna().sum() < 2:
        return False
    return bool(pd.concat([left, right]).nunique() > 1)
