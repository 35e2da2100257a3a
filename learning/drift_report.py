"""Evidently's drift document of two windows: for people, beside our own verdict."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from learning.problem import Feature
from learning.rows import Matrix

MOST_ROWS = 1_000
MOST_COLUMNS = 40


def render_report(
    reference: Matrix,
    current: Matrix,
    features: Sequence[Feature],
    alpha: float,
    share: float,
    seed: int = 0,
) -> str | None:
    """HTML of Evidently's data drift preset on a bounded sample, None when nothing can be shown.

    Columns that Evidently cannot take (empty, or constant on both sides) are left out, and beyond
    40 columns only the first ones are drawn; the verdict itself never rests on this document.
    """
    left = frame_of(_sample(reference, seed), features)
    right = frame_of(_sample(current, seed + 1), features)
    shown = [f for f in features if _is_drawable(left[f.name], right[f.name])][:MOST_COLUMNS]
    if not shown:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its libraries warn of their own future changes
        from evidently import DataDefinition, Dataset, Report
        from evidently.presets import DataDriftPreset

        definition = DataDefinition(
            numerical_columns=[f.name for f in shown if f.kind == "numeric"],
            categorical_columns=[f.name for f in shown if f.kind == "categorical"],
        )
        names = [f.name for f in shown]
        sides = [
            Dataset.from_pandas(side[names], data_definition=definition) for side in (left, right)
        ]
        preset = DataDriftPreset(
            num_method="ks",
            num_threshold=alpha,
            cat_method="chisquare",
            cat_threshold=alpha,
            drift_share=share,
        )
        document = Report([preset]).run(current_data=sides[1], reference_data=sides[0])
        return str(document.get_html_str(as_iframe=False))


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
