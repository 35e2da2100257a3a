"""Which rows of a batch may become observations, and why the others may not."""

from __future__ import annotations

import difflib
import math
import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd

from learning.inference_columns import as_times
from learning.problem import Feature, Problem, label_text
from learning.rows import EVENT_TIME, KEY, LABEL, Schema

_LIKELY_TIME = re.compile(r"^\s*\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}")


class BatchRefusedError(ValueError):
    """The whole batch does not fit the problem; nothing of it may be stored."""


@dataclass(frozen=True)
class BadRow:
    """A row that was refused: its number in the batch (from 1), why, and its values."""

    row_number: int
    reason: str
    row: dict[str, Any]


@dataclass(frozen=True)
class Validated:
    """Good rows, normalised (`KEY`, `EVENT_TIME`, `LABEL`, features by name), and the bad ones."""

    good: pd.DataFrame
    bad: tuple[BadRow, ...]

    @property
    def reasons(self) -> dict[str, int]:
        """How many rows were refused for each reason."""
        counts: dict[str, int] = {}
        for row in self.bad:
            counts[row.reason] = counts.get(row.reason, 0) + 1
        return counts


def validate(
    frame: pd.DataFrame,
    problem: Problem,
    schema: Schema,
    now: datetime,
    latest: datetime | None = None,
) -> Validated:
    """Sort a batch's rows into good and bad.

    Columns that the problem does not name are ignored; the label column may be absent. Without an
    event time column rows get ``now`` and, microsecond by microsecond, their order of arrival.
    Rows whose event time is behind ``latest`` (None: any) are bad, or one wrong date would be the
    newest row for ever.
    Raises BatchRefusedError when a named column is missing, the batch is empty, or more than
    ``max_bad_share`` of its rows are bad.
    """
    _refuse_missing_columns(frame, problem, schema)
    if frame.empty:
        raise BatchRefusedError("the batch has columns but no rows")
    frame = frame.reset_index(drop=True)
    good = pd.DataFrame(index=frame.index)
    problems = _Problems(len(frame))
    good[KEY] = _keys(frame, problem, problems)
    good[EVENT_TIME] = _times(frame, problem, now, problems)
    if latest is not None and problem.event_time is not None:
        is_ahead = good[EVENT_TIME] > pd.Timestamp(latest)
        problems.note(is_ahead, f"{problem.event_time}: further ahead than max_ahead allows")
    good[LABEL] = _labels(frame, schema, problems)
    for feature in schema.features:
        good[feature.name] = _values(frame[feature.name], feature, problems)
    is_bad = problems.is_bad
    if is_bad.mean() > problem.max_bad_share:
        worst = problems.commonest()
        raise BatchRefusedError(
            f"{int(is_bad.sum())} of {len(frame)} rows are bad, more than the share "
            f"{problem.max_bad_share:g} that max_bad_share allows; most often: {worst}"
        )
    bad = tuple(
        BadRow(int(index) + 1, problems.reasons[int(index)], _plain_row(frame, int(index)))
        for index in np.flatnonzero(is_bad)
    )
    return Validated(good[~is_bad].reset_index(drop=True), bad)


class _Problems:
    """The first reason found against each row."""

    def __init__(self, n_rows: int) -> None:
        self.is_bad = np.zeros(n_rows, dtype=bool)
        self.reasons: dict[int, str] = {}

    def note(self, rows: Any, reason: str) -> None:
        rows = np.asarray(rows, dtype=bool)
        for index in np.flatnonzero(rows & ~self.is_bad):
            self.reasons[int(index)] = reason
        self.is_bad |= rows

    def commonest(self) -> str:
        reasons = list(self.reasons.values())
        return max(set(reasons), key=reasons.count)


def _refuse_missing_columns(frame: pd.DataFrame, problem: Problem, schema: Schema) -> None:
    needed: list[str] = [*schema.names]
    needed += [column for column in (problem.key, problem.event_time) if column]
    for column in needed:
        if column not in frame:
            near = difflib.get_close_matches(column, [str(name) for name in frame], n=1)
            hint = f"; the nearest column is {near[0]!r}" if near else ""
            raise BatchRefusedError(
                f"column {column!r} is missing{hint}: rename it in the source, "
                "or change the problem file"
            )


def _keys(frame: pd.DataFrame, problem: Problem, problems: _Problems) -> pd.Series[Any]:
    if problem.key is None:
        return pd.Series([None] * len(frame), index=frame.index, dtype=object)
    keys = _texts(frame[problem.key])
    problems.note(keys.isna(), f"{problem.key}: the key is missing")
    problems.note(keys.duplicated() & keys.notna(), f"{problem.key}: the key stands twice")
    return keys


def _times(
    frame: pd.DataFrame, problem: Problem, now: datetime, problems: _Problems
) -> pd.Series[Any]:
    if problem.event_time is None:
        order = pd.to_timedelta(np.arange(len(frame)), unit="us")
        return pd.Series(pd.Timestamp(now).tz_convert("UTC") + order, index=frame.index)
    found = frame[problem.event_time]
    times = as_times(found)
    if times is None:
        times = _times_among_others(found)
    problems.note(times.isna(), f"{problem.event_time}: not a time")
    return times


def _times_among_others(found: pd.Series[Any]) -> pd.Series[Any]:
    """The times of a column in which other things stand too; those become missing."""
    likely = found.where(found.astype(str).str.match(_LIKELY_TIME))
    times = as_times(likely)
    if times is None:
        text = likely.where(likely.isna(), likely.astype(str).str.strip())
        times = pd.to_datetime(text, format="ISO8601", errors="coerce", utc=True)
    return times


def _labels(frame: pd.DataFrame, schema: Schema, problems: _Problems) -> pd.Series[Any]:
    if schema.target not in frame:
        empty: Any = np.nan if schema.task == "regression" else None
        return pd.Series([empty] * len(frame), index=frame.index)
    labels = frame[schema.target]
    if schema.task == "regression":
        numbers = _numbers(labels)
        problems.note(~_is_blank(labels) & ~np.isfinite(numbers), f"{schema.target}: not a number")
        return numbers
    text = _texts(labels)
    unknown = text.notna() & ~text.isin(schema.classes)
    problems.note(unknown, f"{schema.target}: not one of the known classes")
    return text


def _values(column: pd.Series[Any], feature: Feature, problems: _Problems) -> pd.Series[Any]:
    blank = _is_blank(column)
    if not feature.nullable:
        problems.note(blank, f"{feature.name}: missing")
    if feature.kind == "categorical":
        return _texts(column)
    numbers = _numbers(column)
    problems.note(~blank & numbers.isna(), f"{feature.name}: not a number")
    problems.note(np.isinf(numbers), f"{feature.name}: not finite")
    if feature.minimum is not None:
        problems.note(numbers < feature.minimum, f"{feature.name}: below {feature.minimum:g}")
    if feature.maximum is not None:
        problems.note(numbers > feature.maximum, f"{feature.name}: above {feature.maximum:g}")
    return numbers


def _is_blank(column: pd.Series[Any]) -> pd.Series[bool]:
    return column.isna() | (column.astype(str).str.strip() == "")


def _texts(column: pd.Series[Any]) -> pd.Series[Any]:
    """Labels, categories or keys in their one spelling; None where missing or blank."""
    text = column.astype(object).map(label_text, na_action="ignore").astype(object)
    return text.where(~_is_blank(column), None)


def _numbers(column: pd.Series[Any]) -> pd.Series[Any]:
    kind = column.dtype
    if pd.api.types.is_datetime64_any_dtype(kind) or pd.api.types.is_timedelta64_dtype(kind):
        return pd.Series(np.nan, index=column.index)  # pandas would count microseconds
    return pd.to_numeric(column, errors="coerce").astype("float64")


def _plain_row(frame: pd.DataFrame, index: int) -> dict[str, Any]:
    # One cell at a time: a row of mixed numbers would come out as floats.
    return {
        _plain_text(name): _plain_value(frame.iat[index, place])
        for place, name in enumerate(frame.columns)
    }


def _plain_value(value: Any) -> Any:
    """The value as JSON may hold it: null, true, a finite number or a text."""
    if pd.api.types.is_scalar(value) and pd.isna(value):
        return None
    if isinstance(value, np.bool_ | np.integer | np.floating):
        value = value.item()
    is_plain = isinstance(value, bool | int) or (isinstance(value, float) and math.isfinite(value))
    return value if is_plain else _plain_text(value)


def _plain_text(value: Any) -> str:
    """The value as a text that every database takes: no NUL, no half of a surrogate pair."""
    return str(value).replace("\x00", "").encode("utf-8", "replace").decode("utf-8")
