"""Columns that know the answer: found before a model learns to rely on them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import rankdata

from learning.inference_columns import as_numbers
from learning.problem import Feature, Task, label_text

Floats = NDArray[np.float64]
Codes = NDArray[np.intp]

MOST_ROWS = 10_000
FOLDS = 5
MOST_BINS = 100
LEAST_AUC = 0.98
LEAST_R2 = 0.98
LEAST_R2_OF_PART = 0.85
LEAST_FLAG_SHARE = 0.98
LEAST_FLAG_LIFT = 2.0
LEAST_FLAG_ROWS = 20


def find_leaks(
    frame: pd.DataFrame, labels: pd.Series[Any], features: Sequence[Feature], task: Task
) -> tuple[str, ...]:
    """One sentence per column that gives the target away almost alone, on at most 10,000 rows.

    ``labels`` are numbers for a regression and class texts otherwise; rows without one are left
    out. A column is suspicious when its out-of-fold AUC (several classes: mean of one against the
    rest) or R² reaches 0.98, when a flag means one class in 98% of its rows, or when it is a part
    of the sum that the target is.
    """
    known = np.flatnonzero(labels.notna().to_numpy())
    if len(known) < 2 * LEAST_FLAG_ROWS:
        return ()
    chosen = known[np.unique(np.linspace(0, len(known) - 1, MOST_ROWS).astype(int))]
    sample, target = frame.iloc[chosen], labels.iloc[chosen]
    if task == "regression":
        return _regression_leaks(sample, target.to_numpy(dtype=np.float64), features)
    names = target.to_numpy(dtype=object)
    warnings = (_class_leak(sample[item.name], names, item) for item in features)
    return tuple(warning for warning in warnings if warning)


def bins_of(column: pd.Series[Any], kind: str) -> Codes:
    """The bin of each value: a category's number, or one of at most 100 equally full intervals.

    Missing values share a bin of their own.
    """
    numbers = as_numbers(column) if kind == "numeric" else None
    if numbers is None:
        codes, _ = pd.factorize(column.map(label_text, na_action="ignore"))
        return np.asarray(codes + 1)
    missing = np.isnan(numbers)
    if missing.all():
        return np.zeros(len(numbers), dtype=np.intp)
    edges = np.unique(np.quantile(numbers[~missing], np.linspace(0, 1, MOST_BINS + 1)))
    places = np.searchsorted(edges, numbers, side="right")
    return np.asarray(np.where(missing, 0, places), dtype=np.intp)


def mean_by_bin(bins: Codes, target: Floats) -> Floats:
    """For each row the mean target of its bin over the other folds, drawn to the overall mean.

    The overall mean weighs as much as one row, so that a bin seen once says little.
    """
    predicted = np.empty(len(target))
    folds = np.random.default_rng(0).permutation(len(target)) % FOLDS
    n_bins = int(bins.max()) + 1
    for fold in range(FOLDS):
        kept, held = folds != fold, folds == fold
        counts = np.bincount(bins[kept], minlength=n_bins)
        sums = np.bincount(bins[kept], weights=target[kept], minlength=n_bins)
        means = (sums + target[kept].mean()) / (counts + 1)
        predicted[held] = means[bins[held]]
    return predicted


def auc(scores: Floats, is_positive: NDArray[np.bool_]) -> float:
    """Area under the ROC curve by ranks (Mann-Whitney); nan when one class is absent."""
    n_positive = int(is_positive.sum())
    n_negative = len(scores) - n_positive
    if n_positive == 0 or n_negative == 0:
        return float("nan")
    ranks = rankdata(scores)[is_positive].sum()
    return float((ranks - n_positive * (n_positive + 1) / 2) / (n_positive * n_negative))


def r_squared(predicted: Floats, target: Floats) -> float:
    """Share of the target's variance that predictions explain; nan for a constant target."""
    total = ((target - target.mean()) ** 2).sum()
    return float(1 - ((target - predicted) ** 2).sum() / total) if total > 0 else float("nan")


def _class_leak(column: pd.Series[Any], names: NDArray[Any], feature: Feature) -> str | None:
    bins = bins_of(column, feature.kind)
    values = []
    classes = np.unique(names.astype(str))
    for name in classes[-1:] if len(classes) == 2 else classes:
        is_class = names == name
        values.append(auc(mean_by_bin(bins, is_class.astype(np.float64)), is_class))
    area = float(np.mean(values))
    if area >= LEAST_AUC:
        return (
            f"{feature.name}: predicts the target almost alone (AUC {area:.3f} ≥ {LEAST_AUC}); "
            "drop it if it is only known after the outcome"
        )
    return _flag_leak(column, names, feature.name)


def _flag_leak(column: pd.Series[Any], names: NDArray[Any], feature: str) -> str | None:
    """Whether the rarer value of a two-valued column nearly always means one class."""
    codes, uniques = pd.factorize(column)
    if len(uniques) != 2:
        return None
    rarer = int(np.argmin(np.bincount(codes[codes >= 0])))
    flagged = names[codes == rarer]
    if len(flagged) < LEAST_FLAG_ROWS:
        return None
    classes, counts = np.unique(flagged.astype(str), return_counts=True)
    name, share = classes[counts.argmax()], float(counts.max() / len(flagged))
    lift = share / float((names == name).mean())
    if share < LEAST_FLAG_SHARE or lift < LEAST_FLAG_LIFT:
        return None
    return (
        f"{feature}: where it is {label_text(uniques[rarer])}, the target is {name} in {share:.1%} "
        f"of {len(flagged):,} rows, {lift:.1f} times as often as overall; drop it if it is only "
        "known after the outcome"
    )


def _regression_leaks(
    sample: pd.DataFrame, target: Floats, features: Sequence[Feature]
) -> tuple[str, ...]:
    warnings, parts = [], {}
    for feature in features:
        column = sample[feature.name]
        explained = r_squared(mean_by_bin(bins_of(column, feature.kind), target), target)
        numbers = as_numbers(column) if feature.kind == "numeric" else None
        is_part = numbers is not None and bool(((numbers >= 0) & (numbers <= target)).all())
        if is_part and numbers is not None:
            parts[feature.name] = numbers
        if explained >= LEAST_R2:
            warnings.append(
                f"{feature.name}: predicts the target almost alone (R² {explained:.3f} ≥ "
                f"{LEAST_R2}); drop it if it is only known after the outcome"
            )
        elif is_part and explained >= LEAST_R2_OF_PART:
            warnings.append(
                f"{feature.name}: is never above the target and explains {explained:.1%} of it, "
                "like a part of the sum; drop it if it is only known after the outcome"
            )
    for (one, left), (other, right) in combinations(parts.items(), 2):
        if np.allclose(left + right, target):
            warnings.append(
                f"{one} and {other}: add up to the target in every row; drop both if they are "
                "only known after the outcome"
            )
    return tuple(warnings)
