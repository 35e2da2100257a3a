"""One column of a batch in its normal form, and which of its rows hold what may not stand there."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pandas as pd

from learning.inference_columns import as_times
from learning.problem import Feature, label_text

# Words for "no value" that a column of numbers may hold; in a column of text they are text.
NO_NUMBER = ("NA", "N/A", "n/a", "na", "NaN", "nan", "NULL", "null", "None", "none", "#N/A", "?")
_LIKELY_TIME = re.compile(r"^\s*\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}")


class Faults:
    """The first reason found against each row."""

    def __init__(self, n_rows: int) -> None:
        self.is_bad = np.zeros(n_rows, dtype=bool)
        self.reasons: dict[int, str] = {}

    def note(self, rows: Any, reason: str) -> None:
        """Hold ``reason`` against the rows of a mask [n] that nothing was held against yet."""
        rows = np.asarray(rows, dtype=bool)
        for index in np.flatnonzero(rows & ~self.is_bad):
            self.reasons[int(index)] = reason
        self.is_bad |= rows

    def commonest(self) -> str:
        """The reason that most rows were refused for."""
        reasons = list(self.reasons.values())
        return max(set(reasons), key=reasons.count)


def read_times(column: pd.Series[Any]) -> pd.Series[Any]:
    """A column as aware UTC times [n], missing where there is none; zoneless ones count as UTC."""
    times = as_times(column)
    return _times_among_others(column) if times is None else times


def looks_like_time(column: pd.Series[Any]) -> pd.Series[bool]:
    """Which values are times, or texts that begin as a date does; quicker than `read_times`."""
    if pd.api.types.is_datetime64_any_dtype(column.dtype):
        return column.notna()
    if pd.api.types.is_numeric_dtype(column.dtype):
        return pd.Series(False, index=column.index)
    return column.astype(str).str.match(_LIKELY_TIME)


def _times_among_others(found: pd.Series[Any]) -> pd.Series[Any]:
    """The times of a column in which other things stand too; those become missing."""
    likely = found.where(looks_like_time(found))
    times = as_times(likely)
    if times is None:
        text = likely.where(likely.isna(), likely.astype(str).str.strip())
        times = pd.to_datetime(text, format="ISO8601", errors="coerce", utc=True)
    return times


def read_feature(column: pd.Series[Any], feature: Feature, faults: Faults) -> pd.Series[Any]:
    """A feature's values in their normal form; what its rules forbid is noted."""
    if feature.kind == "categorical":
        return _categories(column, feature, faults)
    blank = is_blank(column, NO_NUMBER)
    if not feature.nullable:
        faults.note(blank, f"{feature.name}: missing")
    numbers = read_numbers(column)
    faults.note(~blank & numbers.isna(), f"{feature.name}: not a number")
    faults.note(np.isinf(numbers), f"{feature.name}: not finite")
    if feature.minimum is not None:
        faults.note(numbers < feature.minimum, f"{feature.name}: below {feature.minimum:g}")
    if feature.maximum is not None:
        faults.note(numbers > feature.maximum, f"{feature.name}: above {feature.maximum:g}")
    return numbers


def _categories(column: pd.Series[Any], feature: Feature, faults: Faults) -> pd.Series[Any]:
    text = read_texts(column)
    if not feature.nullable:
        faults.note(text.isna(), f"{feature.name}: missing")
    if feature.unseen == "quarantine":
        unseen = text.notna() & ~text.isin(feature.categories)
        faults.note(unseen, f"{feature.name}: not one of the known categories")
    return text


def is_blank(column: pd.Series[Any], words: tuple[str, ...] = ()) -> pd.Series[bool]:
    """Which rows hold nothing: missing, white space, or one of ``words``."""
    if pd.api.types.is_numeric_dtype(column.dtype):
        return column.isna()
    return column.isna() | column.astype(str).str.strip().isin(("", *words))


def read_texts(column: pd.Series[Any]) -> pd.Series[Any]:
    """Labels, categories or keys in their one spelling; None where missing or blank."""
    text = column.astype(object).map(label_text, na_action="ignore").astype(object)
    return text.where(~is_blank(column), None)


def read_numbers(column: pd.Series[Any]) -> pd.Series[Any]:
    """A column as float64, NaN where no number stands; true counts as 1 and false as 0."""
    kind = column.dtype
    if pd.api.types.is_datetime64_any_dtype(kind) or pd.api.types.is_timedelta64_dtype(kind):
        return pd.Series(np.nan, index=column.index)  # pandas would count microseconds
    return pd.to_numeric(column, errors="coerce").astype("float64")
