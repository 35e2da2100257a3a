"""What one column of a table is: numbers, times, categories, or nothing a model should see."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from learning.problem import Feature, label_text

Floats = NDArray[np.float64]

MOST_CATEGORIES = 50
SHARE_OF_NUMBERS = 0.98
SHARE_OF_TIMES = 0.99
_CODE = re.compile(r"^[+-]?0\d")
_LOOKS_LIKE_TIME = re.compile(
    r"^\s*(\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.]\d{2,4})"
)
_DAYS = ("%m/%d/%Y", "%d/%m/%Y", "%Y/%m/%d", "%m/%d/%y", "%d/%m/%y")
_TIMES_OF_DAY = ("", " %H:%M", " %H:%M:%S", " %H:%M:%S.%f", " %I:%M %p", " %I:%M:%S %p")
_CALLED_ID = re.compile(r"(^|[\W_])(id|uid|uuid|guid|udi|key|index|idx|instant|rownum)$", re.I)
_CALLED_ID_IN_CAMEL_CASE = re.compile(r"[a-z](ID|Id|Key)$")


@dataclass(frozen=True)
class Verdict:
    """What to do with a column: use it as a feature, or drop it; ``reason`` is for people."""

    use: Literal["numeric", "categorical", "drop"]
    reason: str = ""
    categories: tuple[str, ...] = ()

    def feature(self, name: str) -> Feature:
        """The feature that a kept column makes."""
        assert self.use != "drop"
        return Feature(name=name, kind=self.use, categories=self.categories)


def as_numbers(column: pd.Series[Any]) -> Floats | None:
    """A column as float64 [n] (missing and infinite = NaN), or None if it is not numeric.

    Text counts when at least 98% of what is there are numbers and none has a leading zero (007
    is a code); the rest becomes NaN. True and false are no numbers.
    """
    kind = column.dtype
    if pd.api.types.is_bool_dtype(kind) or pd.api.types.is_datetime64_any_dtype(kind):
        return None
    if pd.api.types.is_numeric_dtype(kind):
        values = column.to_numpy(dtype=np.float64, na_value=np.nan)
        return np.where(np.isfinite(values), values, np.nan)
    if pd.api.types.is_timedelta64_dtype(kind):
        return None
    present = _present(column)
    if not _mostly_numbers(present.head(200)) or not _mostly_numbers(present):
        return None
    if present.astype(str).str.match(_CODE).any():
        return None
    numbers = pd.to_numeric(column, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
    return np.where(np.isfinite(numbers), numbers, np.nan)


def as_times(column: pd.Series[Any]) -> pd.Series[pd.Timestamp] | None:
    """A column as aware UTC times (missing = NaT), or None if it holds none. Numbers never do.

    Of 05/06/2024 the day comes first only where that is the order in which the column rises or
    the only one that can be read.
    """
    if pd.api.types.is_datetime64_any_dtype(column.dtype):
        return pd.to_datetime(column, utc=True)
    if pd.api.types.is_numeric_dtype(column.dtype):
        return None
    present = _present(column)
    head = present.head(50).astype(str)
    if head.empty or not head.str.match(_LOOKS_LIKE_TIME).all():
        return None
    text = column.where(column.isna(), column.astype(str).str.strip())
    readings = []
    for form in _time_formats(head):
        times = pd.to_datetime(text, format=form, errors="coerce", utc=True)
        if times.notna().sum() >= SHARE_OF_TIMES * len(present):
            readings.append(times)
    rising = [times for times in readings if times.is_monotonic_increasing]
    return next(iter(rising + readings), None)


def categories_of(column: pd.Series[Any]) -> dict[str, int]:
    """How often each category stands in a column, most frequent first; blanks do not count."""
    codes, uniques = pd.factorize(column)
    counts: dict[str, int] = {}
    for value, count in zip(uniques, np.bincount(codes[codes >= 0]).tolist(), strict=False):
        if name := label_text(value):
            counts[name] = counts.get(name, 0) + count
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def judge(name: str, column: pd.Series[Any]) -> Verdict:
    """What to do with a column that has no other role."""
    present = _present(column)
    if present.empty:
        return Verdict("drop", "every value is missing")
    if as_times(column) is not None:
        return Verdict("drop", "holds dates; only one column can be the event time")
    if pd.api.types.is_timedelta64_dtype(column.dtype):
        return Verdict("drop", "holds lengths of time; give them as numbers to use them")
    if (numbers := as_numbers(column)) is not None:
        return _judge_numbers(name, column, numbers)
    return _judge_text(column, present)


def _judge_numbers(name: str, column: pd.Series[Any], numbers: Floats) -> Verdict:
    known = numbers[~np.isnan(numbers)]
    if len(known) == 0:
        return Verdict("drop", "every value is missing")
    if len(known) == len(numbers) and (known == known[0]).all():
        return Verdict("drop", f"every value is {label_text(float(known[0]))}")
    if _is_identifier(name, known, len(numbers)):
        return Verdict("drop", "an identifier: whole numbers that count rows")
    lost = len(_present(column)) - len(known)
    if not pd.api.types.is_numeric_dtype(column.dtype):
        return Verdict(
            "numeric", f"text that holds numbers; {lost:,} other values count as missing"
        )
    return Verdict("numeric")


def _is_identifier(name: str, known: Floats, n_rows: int) -> bool:
    """Whether whole numbers only rise or fall from row to row, or all differ and are called id."""
    if len(known) < max(10, n_rows) or not (known == np.floor(known)).all():
        return False
    steps = np.diff(known)
    if (steps > 0).all() or (steps < 0).all():
        return True
    called_id = _CALLED_ID.search(name) or _CALLED_ID_IN_CAMEL_CASE.search(name)
    return bool(called_id) and len(np.unique(known)) >= 0.98 * len(known)


def _judge_text(column: pd.Series[Any], present: pd.Series[Any]) -> Verdict:
    counts = categories_of(column)
    n_present = len(present)
    if len(counts) == 1 and n_present == len(column):
        return Verdict("drop", f"every value is {next(iter(counts))}")
    if len(counts) > MOST_CATEGORIES or len(counts) >= max(20, 0.9 * n_present):
        words = present.head(1_000).map(lambda text: len(str(text).split())).mean()
        if words > 4 and len(counts) > 0.3 * n_present:
            return Verdict("drop", "free text")
        if len(counts) >= 0.9 * n_present:
            return Verdict("drop", "an identifier: (nearly) every value differs")
    kept = tuple(counts)[:MOST_CATEGORIES]
    share = sum(counts[name] for name in kept) / n_present
    if share < 0.5:
        return Verdict("drop", f"{len(counts):,} different texts, most of them rare")
    if len(counts) > len(kept):
        return Verdict(
            "categorical",
            f"the {len(kept)} most frequent of {len(counts):,} categories are kept ({share:.0%} of "
            "the rows); the others count as unseen",
            kept,
        )
    return Verdict("categorical", "", kept)


def _present(column: pd.Series[Any]) -> pd.Series[Any]:
    """The values that are there: neither missing nor blank text."""
    present = column.dropna()
    if pd.api.types.is_string_dtype(present.dtype) or present.dtype == object:
        present = present[present.astype(str).str.strip() != ""]
    return present


def _mostly_numbers(values: pd.Series[Any]) -> bool:
    """Whether at least 98% of some values are numbers or texts of numbers."""
    if values.empty or values.map(lambda value: isinstance(value, (bool, np.bool_))).any():
        return False
    numbers = pd.to_numeric(values, errors="coerce")
    return bool(numbers.notna().mean() >= SHARE_OF_NUMBERS)


def _time_formats(head: pd.Series[str]) -> list[str]:
    """Formats that read the first times of a column, the likelier first."""
    forms = ["ISO8601"] if head.str.match(r"^\s*\d{4}-").all() else []
    mark = re.search(r"[-/.]", head.iloc[0])
    for day in _DAYS:
        for time in _TIMES_OF_DAY:
            forms.append(day.replace("/", mark.group() if mark else "/") + time)
    head = head.str.strip()
    read = {form: pd.to_datetime(head, format=form, errors="coerce", utc=True) for form in forms}
    return [form for form, times in read.items() if times.notna().mean() >= SHARE_OF_TIMES]
