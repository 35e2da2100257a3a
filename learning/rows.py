"""Observations as the rules see them: one float32 matrix, labels as numbers, times in order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from learning.problem import Feature, Problem, Task, label_text

Floats = NDArray[np.float64]
Matrix = NDArray[np.float32]

KEY, EVENT_TIME, LABEL = "_key", "_event_time", "_label"


@dataclass(frozen=True)
class Rows:
    """Encoded rows in event-time order.

    ``x`` is float32 [n, features]: a numeric value (missing = NaN), or a category's index
    (missing and unseen = -1). ``y`` is float64 [n]: the class's index, or the value; NaN where
    the label is unknown. ``times`` is datetime64[us, UTC without zone] [n], never decreasing.
    ``place`` is int64 [n], where each row stands in the frame that it was encoded from; None for
    rows that come from no frame.
    """

    x: Matrix
    y: Floats
    times: NDArray[np.datetime64]
    place: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.y)

    def part(self, selection: slice | NDArray[np.bool_] | NDArray[np.intp]) -> Rows:
        """The selected rows, in the same order."""
        place = None if self.place is None else self.place[selection]
        return Rows(self.x[selection], self.y[selection], self.times[selection], place)

    @property
    def labelled(self) -> Rows:
        """The rows whose label is known."""
        return self.part(~np.isnan(self.y))


@dataclass(frozen=True)
class Schema:
    """What rows of a problem look like once nothing is left to infer."""

    target: str
    task: Task
    features: tuple[Feature, ...]
    classes: tuple[str, ...] = ()

    @classmethod
    def of(cls, problem: Problem) -> Schema:
        """Schema of a problem whose task, features and classes are spelled out.

        Raises ValueError when one of them still has to be inferred from data.
        """
        if problem.task == "auto" or not problem.features:
            raise ValueError(f"{problem.name}: task and features are not known yet")
        if problem.task != "regression" and len(problem.classes) < 2:
            raise ValueError(f"{problem.name}: classes are not known yet")
        return cls(problem.target, problem.task, problem.features, problem.classes)

    @property
    def names(self) -> tuple[str, ...]:
        """Feature names in the order of the matrix's columns."""
        return tuple(feature.name for feature in self.features)


def encode(frame: pd.DataFrame, schema: Schema) -> Rows:
    """Rows of an observations frame (features by name, `EVENT_TIME`, `LABEL`), sorted by time."""
    naive = frame[EVENT_TIME].dt.tz_convert("UTC").dt.tz_localize(None)
    # With their zone, times would be sorted as objects, one by one.
    times = naive.to_numpy(dtype="datetime64[us]")
    order = np.argsort(times, kind="stable")
    frame = frame.iloc[order]
    return Rows(
        encode_features(frame, schema.features),
        encode_labels(frame[LABEL], schema),
        times[order],
        order.astype(np.int64),
    )


def encode_features(frame: pd.DataFrame, features: Sequence[Feature]) -> Matrix:
    """Float32 matrix [n, features] of a frame; a column that is absent counts as missing."""
    matrix = np.empty((len(frame), len(features)), dtype=np.float32)
    for index, feature in enumerate(features):
        if feature.name not in frame:
            matrix[:, index] = np.nan if feature.kind == "numeric" else -1
        elif feature.kind == "numeric":
            matrix[:, index] = _numbers(frame[feature.name])
        else:
            matrix[:, index] = _codes(frame[feature.name], feature.categories)
    return matrix


def _numbers(column: pd.Series[Any]) -> Matrix:
    values = pd.to_numeric(column, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
    with np.errstate(over="ignore"):
        narrow = values.astype(np.float32)
    narrow[~np.isfinite(narrow)] = np.nan
    return narrow


def _codes(column: pd.Series[Any], categories: Sequence[str]) -> Matrix:
    index = {category: code for code, category in enumerate(categories)}
    codes, uniques = pd.factorize(column)
    # The last place stands for missing values, which factorize gives the code -1.
    known = np.array([index.get(label_text(value), -1) for value in uniques] + [-1])
    return known[codes].astype(np.float32)


def encode_labels(column: pd.Series[Any], schema: Schema) -> Floats:
    """Class indexes or values of a label column, NaN where missing (or not a known class)."""
    if schema.task == "regression":
        values = pd.to_numeric(column, errors="coerce")
        return np.asarray(values.to_numpy(dtype=np.float64, na_value=np.nan))
    codes = _codes(column, schema.classes).astype(np.float64)
    codes[codes < 0] = np.nan
    return codes
