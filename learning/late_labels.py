"""Labels that come without their rows: a batch of keys and labels, no features."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd

from learning.problem import Problem
from learning.rows import KEY, LABEL, Schema


def holds_labels_only(frame: pd.DataFrame, problem: Problem, schema: Schema) -> bool:
    """Whether a batch has the key and the target, but none of the features."""
    names = set(frame.columns)
    if problem.key is None or not {problem.key, schema.target} <= names:
        return False
    return not names.intersection(schema.names)


def as_label_batch(problem: Problem, schema: Schema) -> tuple[Problem, Schema]:
    """The problem and schema by which such a batch is validated: neither times nor features."""
    return problem.model_copy(update={"event_time": None}), replace(schema, features=())


def labels_of(good: pd.DataFrame) -> dict[str, str | float]:
    """The label of each key, of validated rows; a row whose label is blank brings none."""
    known = good[good[LABEL].notna()]
    return dict(zip(known[KEY], known[LABEL], strict=True))


def fold_repeats(frame: pd.DataFrame, problem: Problem) -> pd.DataFrame:
    """The rows without those that repeat a key of the same batch and bring nothing but a label.

    What several batches would come to, one comes to as well: the first row of a key stays and
    takes the first label of a later one; a row that repeats another in every column, or is another
    one without label, goes. A second label stays, for validation to refuse. The index keeps each
    row's place.
    """
    key, target = problem.key, problem.target
    if key is None or key not in frame or not frame[key].duplicated().any():
        return frame
    twice = frame[frame[key].duplicated(keep=False) & frame[key].notna()]
    is_first = ~twice[key].duplicated()
    superfluous = twice.astype(str).duplicated()
    if target not in twice:
        return frame.drop(index=twice.index[~is_first])
    is_blank = twice[target].isna() | (twice[target].astype(str).str.strip() == "")
    superfluous |= is_blank & ~is_first
    first_label = ~is_blank & ~twice[key].where(~is_blank).duplicated()
    labels = twice[first_label].set_index(key)[target]
    filled = twice[is_first & is_blank & twice[key].isin(labels.index)]
    frame = frame.copy()
    frame.loc[filled.index, target] = labels.reindex(filled[key]).to_numpy()
    superfluous |= first_label & twice[key].isin(filled[key])
    return frame.drop(index=twice.index[superfluous])
