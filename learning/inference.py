"""From a table and the name of its target to a complete problem."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import pandas as pd
from pydantic import ValidationError

from learning.inference_columns import as_numbers, as_times, judge
from learning.inference_target import InferenceError, Target, infer_target
from learning.leaks import find_leaks
from learning.problem import (
    DriftRules,
    Feature,
    PerformanceRules,
    Problem,
    RetrainPolicy,
    Windows,
)

__all__ = ["InferenceError", "Inferred", "find_event_time", "infer_problem", "sized_rules"]

FEWEST_ROWS = 100
RARE_CLASS_ROWS = 20


@dataclass(frozen=True)
class Inferred:
    """A problem with nothing left to infer, what was decided on the way, and what looks wrong."""

    problem: Problem
    notes: tuple[str, ...]
    warnings: tuple[str, ...]


def infer_problem(
    frame: pd.DataFrame,
    target: str,
    *,
    name: str,
    event_time: str | None = None,
    key: str | None = None,
    drop: Sequence[str] = (),
) -> Inferred:
    """The problem that a table describes: task, classes, roles, features, windows for its size.

    Raises `InferenceError` for a column that is not there, for a target that cannot be learnt and
    for a table without usable features.
    """
    _check_named(frame, target, event_time, key, drop)
    asked = infer_target(frame[target], target)
    roles = {target, *drop} | {column for column in (event_time, key) if column}
    notes, warnings = [asked.note], _row_warnings(frame, asked, target, key)
    if event_time is None:
        event_time = find_event_time(frame.drop(columns=list(roles)))
        notes.append(_event_time_note(event_time))
    else:
        notes.append(_check_event_time(frame, event_time))
    features, dropped, remarks = _features(frame, roles | {event_time or target})
    if not features:
        raise InferenceError(
            f"no column is left as a feature; dropped: {'; '.join(remarks) or 'all by request'}"
        )
    n_categorical = sum(feature.kind == "categorical" for feature in features)
    notes.append(
        f"{len(features)} features: {len(features) - n_categorical} numeric, "
        f"{n_categorical} categorical"
    )
    problem = _problem(
        {
            "name": name,
            "target": target,
            "task": asked.task,
            "classes": asked.classes,
            "positive_class": asked.classes[1] if asked.task == "binary" else None,
            "event_time": event_time,
            "key": key,
            "drop": (*dict.fromkeys(drop), *dropped),
            "features": features,
            **sized_rules(len(frame)),
        }
    )
    warnings += find_leaks(frame, asked.labels, features, asked.task)
    return Inferred(problem, (*notes, *remarks), tuple(warnings))


def find_event_time(frame: pd.DataFrame) -> str | None:
    """The column of dates or times that never decreases, or None.

    Among several, times of the day win over bare dates, then the one with more different values.
    """
    best: tuple[bool, int] | None = None
    found = None
    for column in frame.columns:
        times = as_times(frame[column])
        if times is None or not times.is_monotonic_increasing or times.nunique() < 2:
            continue
        rank = (bool((times != times.dt.normalize()).any()), int(times.nunique()))
        if best is None or rank > best:
            best, found = rank, str(column)
    return found


def sized_rules(n_rows: int) -> dict[str, object]:
    """Row-based sections of a problem, fitted to the size of a file.

    Windows are small enough that a file of some thousand rows shows several checks and retrains,
    and hold what a look at all features together needs.
    """
    current = _clamp(n_rows // 40, 100, 1_000)
    least = _clamp(n_rows // 40, 50, 100)
    return {
        "windows": Windows(bootstrap_rows=_clamp(n_rows // 5, 100, 500), current_rows=current),
        "drift": DriftRules(min_rows=least),
        "performance": PerformanceRules(
            min_rows=least, window_rows=_clamp(n_rows // 10, 200, 1_000)
        ),
        "retrain": RetrainPolicy(min_new_rows=_clamp(n_rows // 50, 50, 500)),
    }


def _clamp(value: int, low: int, high: int) -> int:
    return max(low, min(value, high))


def _check_named(
    frame: pd.DataFrame, target: str, event_time: str | None, key: str | None, drop: Iterable[str]
) -> None:
    """Raise `InferenceError` for an absent column, one named for two roles, or an empty table."""
    columns = [str(column) for column in frame.columns]
    if not len(frame):
        raise InferenceError("found a table without rows; expected at least one")
    if len(set(columns)) < len(columns):
        raise InferenceError("found two columns of the same name; rename one")
    roles = [("target", target), ("event time", event_time), ("key", key)]
    seen: dict[str, str] = {}
    for role, column in roles + [("column to drop", column) for column in dict.fromkeys(drop)]:
        if column is None:
            continue
        if column not in columns:
            lower = {known.lower(): known for known in columns}
            near = lower[difflib.get_close_matches(column.lower(), lower, n=1, cutoff=0.0)[0]]
            raise InferenceError(
                f"{role}: found no column {column!r}; did you mean {near!r}? "
                f"columns: {', '.join(columns)}"
            )
        if column in seen:
            raise InferenceError(f"{column!r} is named as {seen[column]} and as {role}; keep one")
        seen[column] = role


def _check_event_time(frame: pd.DataFrame, event_time: str) -> str:
    """A note on the named event time; raises `InferenceError` when it holds no times."""
    times = as_times(frame[event_time])
    if times is None:
        example = str(frame[event_time].iloc[0])[:40]
        raise InferenceError(
            f"event time {event_time!r}: found {example!r}; expected dates or times such as "
            "2024-01-31 or 2024-01-31T12:00:00Z; without an event time, rows count in file order"
        )
    order = "in order" if times.is_monotonic_increasing else "not in order; rows will be sorted"
    return f"event time: {event_time}, {order}"


def _event_time_note(event_time: str | None) -> str:
    if event_time is None:
        return (
            "event time: none; no column holds dates that never go back; rows count in file order"
        )
    return f"event time: {event_time}, dates that never go back"


def _features(
    frame: pd.DataFrame, roles: set[str]
) -> tuple[tuple[Feature, ...], tuple[str, ...], list[str]]:
    """Features, columns to drop, and a remark on each column that needs one."""
    features, dropped, remarks = [], [], []
    for column in frame.columns:
        if column in roles:
            continue
        verdict = judge(str(column), frame[column])
        if verdict.use == "drop":
            dropped.append(str(column))
            remarks.append(f"dropped {column}: {verdict.reason}")
        else:
            features.append(verdict.feature(str(column)))
            if verdict.reason:
                remarks.append(f"{column}: {verdict.reason}")
    return tuple(features), tuple(dropped), remarks


def _row_warnings(frame: pd.DataFrame, asked: Target, target: str, key: str | None) -> list[str]:
    """Warnings on the rows: too few, without label, of a rare class, with a repeated key."""
    warnings = []
    if len(frame) < FEWEST_ROWS:
        warnings.append(f"only {len(frame)} rows; training starts at {FEWEST_ROWS} labelled ones")
    if missing := int(asked.labels.isna().sum()):
        warnings.append(f"{target}: {missing:,} of {len(frame):,} rows have no label")
    for label, count in asked.labels.value_counts().items() if asked.classes else ():
        if count < RARE_CLASS_ROWS:
            warnings.append(f"{target}: the class {label} has only {count} rows")
    if asked.task == "regression":
        numbers = as_numbers(frame[target])
        if numbers is not None and len(numbers) > 10 and (numbers[1:] - numbers[:-1] == 1).all():
            warnings.append(f"{target}: counts up by one from row to row, like an identifier")
    if key is not None and (repeats := int(frame[key].duplicated().sum())):
        warnings.append(f"{key}: {repeats:,} rows repeat a key; each key is stored once")
    return warnings


def _problem(values: dict[str, object]) -> Problem:
    try:
        return Problem.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        message = first["msg"].removeprefix("Value error, ")
        raise InferenceError(f"{place}: {message}" if place else message) from error
