"""Which rows of a batch may become observations, and why the others may not."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd

from learning.problem import Problem
from learning.rows import EVENT_TIME, KEY, LABEL, Schema
from learning.validation_schema import BatchRefusedError, refuse_missing_columns
from learning.validation_values import (
    NO_NUMBER,
    Faults,
    is_blank,
    read_feature,
    read_numbers,
    read_texts,
    read_times,
)

__all__ = ["BadRow", "BatchRefusedError", "Validated", "lenient", "validate"]


@dataclass(frozen=True)
class BadRow:
    """A row that was refused: its number in the batch (from 1), why, and its values.

    ``event_time`` is when it happened as its batch tells, None where that cannot be read.
    """

    row_number: int
    reason: str
    row: dict[str, Any]
    event_time: datetime | None = None


@dataclass(frozen=True)
class Validated:
    """Good rows, normalised (`KEY`, `EVENT_TIME`, `LABEL`, features by name), and the bad ones."""

    good: pd.DataFrame
    bad: tuple[BadRow, ...]

    @property
    def reasons(self) -> dict[str, int]:
        """How many rows were refused for each reason."""
        return dict(Counter(row.reason for row in self.bad))


def lenient(schema: Schema) -> Schema:
    """The schema without the rules that a person may overrule.

    Ranges, nullability and unseen categories no longer count; what no model could take (types,
    keys, unknown classes) does.
    """
    free = {"minimum": None, "maximum": None, "nullable": True, "unseen": "accept"}
    features = tuple(feature.model_copy(update=free) for feature in schema.features)
    return replace(schema, features=features)


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
    refuse_missing_columns(frame, problem, schema)
    if frame.empty:
        raise BatchRefusedError("the batch has columns but no rows")
    frame = frame.reset_index(drop=True)
    good = pd.DataFrame(index=frame.index)
    faults = Faults(len(frame))
    faults.note(_repeats_header(frame), "the header line again")
    good[KEY] = _keys(frame, problem, faults)
    good[EVENT_TIME] = _times(frame, problem, now, latest, faults)
    good[LABEL] = _labels(frame, schema, faults)
    for feature in schema.features:
        good[feature.name] = read_feature(frame[feature.name], feature, faults)
    _refuse_too_many(faults, problem.max_bad_share)
    bad = _bad_rows(frame, faults, good[EVENT_TIME])
    return Validated(good[~faults.is_bad].reset_index(drop=True), bad)


def _refuse_too_many(faults: Faults, allowed: float) -> None:
    if faults.is_bad.mean() > allowed:
        raise BatchRefusedError(
            f"{int(faults.is_bad.sum())} of {len(faults.is_bad)} rows are bad, more than the share "
            f"{allowed:g} that max_bad_share allows; most often: {faults.commonest()}"
        )


def _repeats_header(frame: pd.DataFrame) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Rows whose every value is its column's name, as files put together by hand have them."""
    same = np.ones(len(frame), dtype=bool)
    for place, name in enumerate(frame.columns):
        column = frame.iloc[:, place]
        is_named = not str(name).startswith("Unnamed: ")
        if (is_named and pd.api.types.is_numeric_dtype(column.dtype)) or not same.any():
            return np.zeros(len(frame), dtype=bool)
        found = column[same].astype(str).str.strip() == str(name).strip()
        same[same] = found if is_named else column[same].isna()
    return same


def _keys(frame: pd.DataFrame, problem: Problem, faults: Faults) -> pd.Series[Any]:
    if problem.key is None:
        return pd.Series([None] * len(frame), index=frame.index, dtype=object)
    keys = read_texts(frame[problem.key])
    faults.note(keys.isna(), f"{problem.key}: the key is missing")
    faults.note(keys.duplicated() & keys.notna(), f"{problem.key}: the key stands twice")
    return keys


def _times(
    frame: pd.DataFrame, problem: Problem, now: datetime, latest: datetime | None, faults: Faults
) -> pd.Series[Any]:
    if problem.event_time is None:
        order = pd.to_timedelta(np.arange(len(frame)), unit="us")
        return pd.Series(pd.Timestamp(now).tz_convert("UTC") + order, index=frame.index)
    times = read_times(frame[problem.event_time])
    faults.note(times.isna(), f"{problem.event_time}: not a time")
    if latest is not None:
        is_ahead = times > pd.Timestamp(latest)
        faults.note(is_ahead, f"{problem.event_time}: further ahead than max_ahead allows")
    return times


def _labels(frame: pd.DataFrame, schema: Schema, faults: Faults) -> pd.Series[Any]:
    if schema.target not in frame:
        empty: Any = np.nan if schema.task == "regression" else None
        return pd.Series([empty] * len(frame), index=frame.index)
    labels = frame[schema.target]
    if schema.task == "regression":
        numbers = read_numbers(labels)
        is_wrong = ~is_blank(labels, NO_NUMBER) & ~np.isfinite(numbers)
        faults.note(is_wrong, f"{schema.target}: not a number")
        return numbers
    text = read_texts(labels)
    unknown = text.notna() & ~text.isin(schema.classes)
    faults.note(unknown, f"{schema.target}: not one of the known classes")
    return text


def _bad_rows(frame: pd.DataFrame, faults: Faults, times: pd.Series[Any]) -> tuple[BadRow, ...]:
    places: list[int] = np.flatnonzero(faults.is_bad).tolist()
    return tuple(
        BadRow(place + 1, faults.reasons[place], row, _moment(times.iat[place]))
        for place, row in zip(places, _plain_rows(frame, places), strict=True)
    )


def _moment(time: Any) -> datetime | None:
    return None if pd.isna(time) else time.to_pydatetime(warn=False)


def _plain_rows(frame: pd.DataFrame, places: list[int]) -> list[dict[str, Any]]:
    # One column at a time: a row of mixed numbers would come out as floats.
    names = [_plain_text(name) for name in frame.columns]
    columns = [frame.iloc[:, place].iloc[places].tolist() for place in range(len(names))]
    return [
        {name: _plain_value(value) for name, value in zip(names, values, strict=True)}
        for values in zip(*columns, strict=True)
    ]


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
