"""The reference of drift checks as it is kept: sorted once, so that a check sorts its window."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learning.drift_calibration import Calibration, calibrate
from learning.drift_ks import StoredSample, StoredSamples
from learning.drift_shapes import count_categories, count_numbers, edges_of
from learning.problem import DriftRules, Feature
from learning.rows import Matrix

FORMAT = 1
BLOCK_COLUMNS = 16  # float32 columns of one cache line, so that a copy reads each line once


@dataclass(frozen=True)
class NumberReference:
    """A numeric column: where its known values are among the samples, and how many were missing."""

    place: int
    n_known: int
    n_missing: int


@dataclass(frozen=True)
class CategoryReference:
    """A categorical column: rows by category; the last count is of missing and unseen ones."""

    categories: tuple[str, ...]
    counts: NDArray[np.int64]


ColumnReference = NumberReference | CategoryReference


@dataclass(frozen=True)
class ReferenceStatistics:
    """All that a drift check needs to know of the reference: a column each, and its calibration.

    ``samples`` are the known values of all numbers; ``names`` gives the order of the calibration's
    features.
    """

    n_rows: int
    names: tuple[str, ...]
    columns: Mapping[str, ColumnReference]
    samples: StoredSamples
    calibration: Calibration | None = None

    def place(self, feature: Feature) -> int | None:
        """Where the feature stands in the calibration; None where it has no such column."""
        return self.names.index(feature.name) if feature.name in self.columns else None


def summarise(reference: Matrix, features: Sequence[Feature]) -> ReferenceStatistics:
    """Statistics of an encoded reference [n, features], without calibration."""
    columns: dict[str, ColumnReference] = {}
    samples: list[StoredSample] = []
    for first in range(0, len(features), BLOCK_COLUMNS):
        part = features[first : first + BLOCK_COLUMNS]
        block = np.array(reference[:, first : first + len(part)].T, order="C")
        for feature, column in zip(part, block, strict=True):
            if feature.kind == "categorical":
                counts = count_categories(column, len(feature.categories))
                columns[feature.name] = CategoryReference(feature.categories, counts)
                continue
            column.sort()
            n_known = known(column)
            columns[feature.name] = NumberReference(len(samples), n_known, len(column) - n_known)
            samples.append(StoredSample.of(column[:n_known]))
    names = tuple(feature.name for feature in features)
    return ReferenceStatistics(len(reference), names, columns, StoredSamples(samples))


def summarise_stream(
    reference: Matrix, stream: Matrix, features: Sequence[Feature], rules: DriftRules
) -> ReferenceStatistics:
    """The same, calibrated on the rows in time order [n, features] that the reference is of."""
    found = summarise(reference, features)
    if not rules.calibrate:
        return found
    return replace(found, calibration=calibrate(stream, features, rules))


def known(column: NDArray[np.float32]) -> int:
    """How many values of a sorted column are not NaN, which sorts last."""
    return int(column.searchsorted(np.float32(np.nan), "left"))


def shapes(
    statistics: ReferenceStatistics, current: Matrix, features: Sequence[Feature]
) -> dict[str, list[int]]:
    """Counts of each feature's current rows [n, features], in bins that the reference gives."""
    found: dict[str, list[int]] = {}
    for feature, column in zip(features, current.T, strict=True):
        kept = statistics.columns.get(feature.name)
        if isinstance(kept, NumberReference):
            sample = statistics.samples.sample(kept.place)
            edges = edges_of(sample.points, sample.below[1:])
            found[feature.name] = count_numbers(column, edges)
        elif kept is not None:
            found[feature.name] = count_categories(column, len(kept.categories)).tolist()
    return found


def to_arrays(statistics: ReferenceStatistics) -> dict[str, NDArray[Any]]:
    """The statistics as named arrays of plain numbers and text, to be kept in a file."""
    numbers = [c for c in statistics.columns.values() if isinstance(c, NumberReference)]
    samples = [statistics.samples.sample(c.place) for c in numbers]
    categories = [c for c in statistics.columns.values() if isinstance(c, CategoryReference)]
    arrays: dict[str, NDArray[Any]] = {
        "format": np.array(FORMAT),
        "n_rows": np.array(statistics.n_rows),
        "names": np.array(statistics.names, dtype=np.str_),
        "is_number": np.array(
            [isinstance(statistics.columns[name], NumberReference) for name in statistics.names]
        ),
        "points": _joined([sample.points for sample in samples], np.float32),
        "below": _joined([sample.below[1:] for sample in samples], np.int32),
        "n_points": np.array([len(sample.points) for sample in samples], dtype=np.int64),
        "n_missing": np.array([c.n_missing for c in numbers], dtype=np.int64),
        "categories": np.array([n for c in categories for n in c.categories], dtype=np.str_),
        "counts": _joined([c.counts for c in categories], np.int64),
        "n_categories": np.array([len(c.categories) for c in categories], dtype=np.int64),
    }
    if statistics.calibration is not None:
        arrays |= statistics.calibration.to_arrays()
    return arrays


def _joined(parts: Sequence[NDArray[Any]], kind: type) -> NDArray[Any]:
    return np.concatenate([*parts, np.empty(0, dtype=kind)]).astype(kind)


def from_arrays(arrays: Mapping[str, NDArray[Any]]) -> ReferenceStatistics:
    """The statistics behind `to_arrays`. Raises ValueError for another format or a broken one."""
    try:
        if int(arrays["format"]) != FORMAT:
            raise ValueError(f"found reference format {arrays['format']}; expected {FORMAT}")
        names = tuple(str(name) for name in arrays["names"])
        samples = _samples(arrays)
        numbers, categories = iter(_numbers(arrays, samples)), iter(_categories(arrays))
        columns: dict[str, ColumnReference] = {
            name: next(numbers) if is_number else next(categories)
            for name, is_number in zip(names, arrays["is_number"], strict=True)
        }
        calibration = Calibration.from_arrays(arrays)
    except (KeyError, StopIteration, TypeError) as error:
        raise ValueError(f"the reference statistics are broken: {error!r}") from error
    n_rows = int(arrays["n_rows"])
    return ReferenceStatistics(n_rows, names, columns, StoredSamples(samples), calibration)


def _samples(arrays: Mapping[str, NDArray[Any]]) -> list[StoredSample]:
    if not len(arrays["n_points"]):
        return []
    ends = np.cumsum(arrays["n_points"])[:-1]
    points, below = np.split(arrays["points"], ends), np.split(arrays["below"], ends)
    return [
        StoredSample(values, np.append(np.int32(0), ranks))
        for values, ranks in zip(points, below, strict=True)
    ]


def _numbers(
    arrays: Mapping[str, NDArray[Any]], samples: Sequence[StoredSample]
) -> list[NumberReference]:
    missing = zip(samples, arrays["n_missing"].tolist(), strict=True)
    return [NumberReference(i, sample.size, n) for i, (sample, n) in enumerate(missing)]


def _categories(arrays: Mapping[str, NDArray[Any]]) -> list[CategoryReference]:
    found, first, text = [], 0, 0
    for size in arrays["n_categories"].tolist():
        names = tuple(str(name) for name in arrays["categories"][text : text + size])
        found.append(CategoryReference(names, arrays["counts"][first : first + size + 1]))
        first, text = first + size + 1, text + size
    return found


def median_inflation(statistics: ReferenceStatistics, n_current: int) -> float:
    """How much less than free rows the rows of a current window say, at the median feature."""
    if statistics.calibration is None or not n_current:
        return 1.0
    return float(np.median(statistics.calibration.inflation(n_current)))
