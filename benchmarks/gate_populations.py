"""Populations for the gate's benchmark: rows with their labels and what a model says of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from learning.generator import generate
from learning.inference import infer_problem
from learning.metrics import roc_auc
from learning.models import fit
from learning.problem import Problem
from learning.rows import EVENT_TIME, LABEL, Rows, Schema, encode
from storage.problems import SHIPPED, load_problem

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
MOST_ROWS = 24_000
FITTED = 0.4
MOST_CATEGORIES = 20

# Name, target, columns that are never features.
SETS = (
    ("adult", "income", ("split", "fnlwgt")),
    ("bank_marketing", "y", ("duration",)),
    ("taiwan_credit_default", "default.payment.next.month", ("ID",)),
    ("telco_churn", "Churn", ("customerID",)),
    ("elec2", "class", ("date", "day", "period")),
)
GENERATORS = ("churn", "linear")


@dataclass(frozen=True, eq=False)
class Population:
    """Rows that stand for the truth; ``rank`` [n] is a fitted model's score, standardised.

    ``matrix`` [n, columns] are the rows as a linear model sees them: numbers standardised, missing
    ones in the middle, categories one-hot.
    """

    number: int
    name: str
    schema: Schema
    rows: Rows
    rank: np.ndarray
    matrix: np.ndarray

    @property
    def y(self) -> np.ndarray:
        """Labels 0 and 1."""
        return self.rows.y

    def auc(self, score: np.ndarray) -> float:
        """ROC AUC of a score on all rows."""
        return roc_auc(self.y, score)


def populations() -> list[Population]:
    """All populations; data sets that are not on this machine are left out."""
    return [
        _population(number, name, problem, frame)
        for number, (name, problem, frame) in enumerate([*_from_files(), *_from_generators()])
    ]


def _from_files() -> Iterator[tuple[str, Problem, pd.DataFrame]]:
    for name, target, drop in SETS:
        path = DATA / f"{name}.csv.gz"
        if not path.is_file():
            continue
        frame = pd.read_csv(path).dropna(subset=[target]).sample(frac=1, random_state=0)
        frame = frame.head(MOST_ROWS).reset_index(drop=True)
        known = tuple(column for column in drop if column in frame)
        problem = infer_problem(frame, target, name=name.replace("_", "-"), drop=known).problem
        yield name, problem, frame


def _from_generators() -> Iterator[tuple[str, Problem, pd.DataFrame]]:
    for name in GENERATORS:
        problem = load_problem(name, (SHIPPED,))
        yield f"{name} (generated)", problem, generate(problem, MOST_ROWS)


def _encoded(schema: Schema, frame: pd.DataFrame) -> Rows:
    times = pd.date_range("2026-01-01", periods=len(frame), freq="min", tz="UTC")
    labels = frame[schema.target].to_numpy(dtype=object)
    frame = frame.copy()
    frame[EVENT_TIME], frame[LABEL] = times, labels
    return encode(frame, schema)


def _population(number: int, name: str, problem: Problem, frame: pd.DataFrame) -> Population:
    schema = Schema.of(problem)
    rows = _encoded(schema, frame)
    cut = int(len(rows) * FITTED)
    model = fit("boosting", {"max_iter": 50}, rows.part(slice(0, cut)), schema)
    rest = rows.part(slice(cut, None))
    ranks = rankdata(model.output(rest.x)[:, 1])
    rank = (ranks - ranks.mean()) / ranks.std()
    return Population(number, name, schema, rest, rank, _matrix(rest, schema))


def _matrix(rows: Rows, schema: Schema) -> np.ndarray:
    columns = list[np.ndarray]()
    for place, feature in enumerate(schema.features):
        column = rows.x[:, place].astype(np.float64)
        if feature.kind == "numeric":
            spread = float(np.nanstd(column)) or 1.0
            columns.append(np.nan_to_num((column - np.nanmean(column)) / spread)[:, None])
        else:
            codes = np.arange(min(len(feature.categories), MOST_CATEGORIES))
            columns.append((column[:, None] == codes).astype(np.float64))
    return np.hstack([*columns, np.ones((len(rows), 1))])
