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
    """The rows without those that another row of their key in the same batch makes superfluous.

    A row that repeats an earlier one in every column goes, and so does an unlabelled row beside a
    labelled one, or behind another unlabelled one: what several batches would have left out is
    left out of one as well. Rows of one key with two labels stay, for validation to refuse. The
    index keeps each row's place.
    """
    key, target = problem.key, problem.target
    if key is None or key not in frame or not frame[key].duplicated().any():
        return frame
    twice = frame[frame[key].duplicated(keep=False) & frame[key].notna()]
    is_blank = pd.Series(True, index=twice.index)
    if target in twice:
        is_blank = twice[target].isna() | (twice[target].astype(str).str.strip() == "")
    labelled = twice.loc[~is_blank, key]
    is_waiting = is_blank & (twice[key].isin(labelled) | twice[key].where(is_blank).duplicated())
    is_again = twice.astype(str).duplicated()
    return frame.drop(index=twice.index[is_again | is_waiting])
