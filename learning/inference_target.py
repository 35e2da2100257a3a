"""What a target column asks for: the task, its classes, and which of them is the positive one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from learning.inference_columns import as_numbers, categories_of
from learning.problem import Task, label_text

MOST_CLASSES = 50
MOST_INTEGER_CLASSES = 10
POSITIVE = frozenset(
    {"true", "yes", "y", "t", "positive", "pos", "bad", "default", "defaulted", "churn", "churned"}
    | {"fail", "failed", "failure", "fault", "fraud", "fraudulent", "spam", "sick", "ill"}
    | {"disease", "malignant", "anomaly", "abnormal", "attack", "lost", "left", "leave", "late"}
    | {"cancelled", "canceled"}
)
NEGATIVE = frozenset(
    {"false", "no", "n", "f", "negative", "neg", "good", "none", "normal", "benign", "ok"}
    | {"healthy", "ham", "stayed", "stay", "kept", "paid", "repaid", "legitimate", "0", "-1"}
)


class InferenceError(ValueError):
    """A problem cannot be inferred from a table; the message says why and what to do."""


@dataclass(frozen=True)
class Target:
    """The task, its classes (binary: negative first), and the labels [n] (missing = NaN or None).

    Labels are numbers for a regression and class texts otherwise.
    """

    task: Task
    classes: tuple[str, ...]
    labels: pd.Series[Any]
    note: str


def infer_target(column: pd.Series[Any], name: str) -> Target:
    """The task of a target column. Raises `InferenceError` where there is nothing to learn."""
    counts = categories_of(column)
    n_known = sum(counts.values())
    if n_known < len(column) / 2:
        raise InferenceError(
            f"target {name!r}: {1 - n_known / len(column):.0%} of the values are missing; expected "
            "at least half to be known; choose another column or remove the rows without a label"
        )
    if len(counts) == 1:
        raise InferenceError(
            f"target {name!r}: every value is {next(iter(counts))!r}; expected at least two; "
            "choose another column, or a file that also holds other outcomes"
        )
    numbers = as_numbers(column)
    if len(counts) > 2 and numbers is not None and _is_amount(numbers, len(counts)):
        labels = pd.Series(numbers, index=column.index)
        low, high = np.nanmin(numbers), np.nanmax(numbers)
        note = f"task regression: {name} holds numbers from {low:g} to {high:g}"
        return Target("regression", (), labels, note)
    if len(counts) > MOST_CLASSES:
        many = "nearly every text differs" if len(counts) > n_known / 2 else "too many classes"
        raise InferenceError(
            f"target {name!r}: found {len(counts):,} different texts in {n_known:,} rows, {many}; "
            f"expected numbers or at most {MOST_CLASSES} classes; choose another column or group it"
        )
    return _classification(column, name, counts, n_known)


def _is_amount(numbers: np.ndarray, n_values: int) -> bool:
    """Whether numbers measure something: fractions, or more than ten different whole numbers."""
    known = numbers[~np.isnan(numbers)]
    return n_values > MOST_INTEGER_CLASSES or bool((known != np.floor(known)).any())


def _classification(
    column: pd.Series[Any], name: str, counts: dict[str, int], n_known: int
) -> Target:
    codes, uniques = pd.factorize(column)
    texts = np.array([label_text(value) or None for value in uniques] + [None], dtype=object)
    labels = pd.Series(texts[codes], index=column.index, dtype=object)
    if len(counts) > 2:
        classes = tuple(sorted(counts, key=_as_listed))
        note = f"task multiclass: {name} is one of {', '.join(classes)}"
        return Target("multiclass", classes, labels, note)
    positive = positive_class(counts)
    negative = next(text for text in counts if text != positive)
    share = counts[positive] / n_known
    note = f"task binary: {name} is {negative} or {positive}; positive is {positive}, {share:.1%}"
    return Target("binary", (negative, positive), labels, note)


def positive_class(counts: dict[str, int]) -> str:
    """Which of two classes is the positive one: by its name, else the rarer one.

    1 is positive beside 0 or -1 only: of 1 and 2 it is the rarer. Between equally frequent ones
    it is the later in order.
    """
    named = [text for text in counts if text.lower() in POSITIVE]
    if len(named) == 1:
        return named[0]
    others = [text for text in counts if text.lower() not in NEGATIVE]
    if len(others) == 1:
        return others[0]
    return min(sorted(counts, key=_as_listed, reverse=True), key=lambda text: counts[text])


def _as_listed(text: str) -> tuple[float, str]:
    """Sort key: numbers by value, then texts by letter."""
    try:
        return float(text), text
    except ValueError:
        return float("inf"), text
