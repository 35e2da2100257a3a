"""Whether a batch still has the columns and types that the problem was told of."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd

from learning.problem import Feature, Problem
from learning.rows import Schema
from learning.validation_values import (
    NO_NUMBER,
    is_blank,
    looks_like_time,
    read_numbers,
    read_texts,
    read_times,
)

FEWEST_ROWS = 20
SHARE_CHANGED = 0.9
MOST_NAMED = 3
_WITH_COMMA = r"^\s*[+-]?\d{1,3}([.,\s']?\d{3})*,\d+\s*$|^\s*[+-]?\d{1,3}(,\d{3})+(\.\d+)?\s*$"


class BatchRefusedError(ValueError):
    """The whole batch does not fit the problem; nothing of it may be stored."""


def refuse_missing_columns(frame: pd.DataFrame, problem: Problem, schema: Schema) -> None:
    """Raise BatchRefusedError when a column is missing, naming what it may be called now.

    The target may be absent, but not stand there under nearly the same name.
    """
    columns = [str(name) for name in frame]
    needed = [*schema.names, *(name for name in (problem.key, problem.event_time) if name)]
    spare = [name for name in columns if name not in {*needed, schema.target, *problem.drop}]
    missing = [name for name in needed if name not in frame]
    if missing:
        raise BatchRefusedError(
            f"{_named(missing, spare)}: rename it in the source, or change the problem file"
        )
    if schema.target not in frame and (other := _same_but_spelling(schema.target, spare)):
        raise BatchRefusedError(
            f"the target column {schema.target!r} is missing but {other!r} stands there: rename it "
            "in the source, or change the problem file"
        )


def _named(missing: Sequence[str], spare: Sequence[str]) -> str:
    hints = []
    for name in missing[:MOST_NAMED]:
        near = _same_but_spelling(name, spare) or next(
            iter(difflib.get_close_matches(name, spare, n=1)), None
        )
        hints.append(f"{name!r} is missing" + (f"; the nearest column is {near!r}" if near else ""))
    more = len(missing) - MOST_NAMED
    return "column " + ", column ".join(hints) + (f" (and {more} more)" if more > 0 else "")


def _same_but_spelling(name: str, columns: Sequence[str]) -> str | None:
    """The column that differs by capital letters, blanks and punctuation alone, if there is one."""
    plain = _folded(name)
    return next((column for column in columns if plain and _folded(column) == plain), None)


def _folded(name: str) -> str:
    return "".join(letter for letter in name.casefold() if letter.isalnum())


def refuse_changed_types(frame: pd.DataFrame, problem: Problem, schema: Schema) -> None:
    """Raise BatchRefusedError when columns hold another type than the problem was told of.

    A column counts from 20 values on, when more than nine in ten of them are of the other type;
    fewer are matters of single rows. Columns that are absent are not looked at.
    """
    changes = list(_changes(frame, problem, schema))
    if changes:
        more = f" (and {len(changes) - MOST_NAMED} more)" if len(changes) > MOST_NAMED else ""
        raise BatchRefusedError(
            f"the type changed: {'; '.join(changes[:MOST_NAMED])}{more}: mend the source, or "
            "change the problem file"
        )


def _changes(frame: pd.DataFrame, problem: Problem, schema: Schema) -> Iterator[str]:
    for feature in schema.features:
        if feature.name in frame and (change := _change(frame[feature.name], feature)):
            yield change
    if schema.task == "regression" and schema.target in frame:
        target = Feature(name=schema.target)
        if change := _change(frame[schema.target], target):
            yield change
    if problem.event_time in frame:
        times = frame[problem.event_time]
        times = times[~is_blank(times)]
        if len(times) >= FEWEST_ROWS and (~looks_like_time(times)).mean() > SHARE_CHANGED:
            yield f"column {problem.event_time!r} held times and now holds {_kind(times)}"


def _change(column: pd.Series[Any], feature: Feature) -> str | None:
    """What a feature's column held and holds now, where these differ."""
    is_number = pd.api.types.is_numeric_dtype(column.dtype)
    if feature.kind == "numeric" and not is_number:
        known = column[~is_blank(column, NO_NUMBER)]
        if len(known) >= FEWEST_ROWS and read_numbers(known).isna().mean() > SHARE_CHANGED:
            return f"column {feature.name!r} held numbers and now holds {_kind(known)}"
    if feature.kind == "categorical" and is_number and feature.categories:
        known = read_texts(column).dropna()
        was_text = pd.to_numeric(pd.Series(feature.categories), errors="coerce").isna().all()
        is_unseen = ~known.isin(feature.categories)
        if len(known) >= FEWEST_ROWS and was_text and is_unseen.mean() > SHARE_CHANGED:
            return f"column {feature.name!r} held text and now holds {_kind(column)}"
    return None


def _kind(column: pd.Series[Any]) -> str:
    """What a column holds, in words; never a value of it."""
    if pd.api.types.is_bool_dtype(column.dtype):
        return "true and false"
    if pd.api.types.is_numeric_dtype(column.dtype):
        return "numbers"
    if read_times(column).notna().mean() > SHARE_CHANGED:
        return "times"
    if column.astype(str).str.match(_WITH_COMMA).mean() > SHARE_CHANGED:
        return "numbers written with commas (write 1234.5)"
    return "text"
