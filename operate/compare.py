"""One drift check of two files, with no installation behind it."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table

from learning.drift import DriftResult, FeatureDrift, check_drift
from learning.drift_reference import summarise_stream
from learning.drift_report import render_report
from learning.inference_columns import as_numbers, as_times, categories_of
from learning.problem import DriftRules, Feature
from learning.rows import encode_features
from operate.begin import BeginError
from storage.tabular import read_table

MOST_CATEGORIES = 50


class Comparison:
    """A drift result of two files, with the columns that only one of them has."""

    def __init__(self, result: DriftResult, missing: tuple[str, ...]) -> None:
        self.result = result
        self.missing = missing

    @property
    def is_drifted(self) -> bool:
        """Whether the alarm sounds."""
        return self.result.is_drifted

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        result = self.result
        gone = [
            FeatureDrift(name, "numeric", not_testable="only in one of the two files")
            for name in self.missing
        ]
        return {
            "is_drifted": result.is_drifted,
            "drift_share": result.drift_share,
            "threshold": result.threshold,
            "n_reference": result.n_reference,
            "n_current": result.n_current,
            "features": [asdict(feature) for feature in (*result.features, *gone)],
            "reason": result.reason,
        }


def compare_files(
    reference: Path, current: Path, target: str | None, report: Path | None
) -> Comparison:
    """Check the columns that both files have; dates and the target are left out.

    The rows of the first file count as in time order, which tells how much they depend on each
    other (`learning.drift_calibration`).

    Raises BeginError for a missing file or when no column is left to compare.
    """
    for path in (reference, current):
        if not path.is_file():
            raise BeginError(f"found no file {str(path)!r}; expected a CSV, CSV.gz or Parquet file")
    left, right = read_table(reference), read_table(current)
    if target is not None and target not in left:
        raise BeginError(
            f"{reference.name}: no column {target!r}; found {', '.join(map(str, left))[:300]}"
        )
    there, here = [str(name) for name in left], [str(name) for name in right]
    shared = [name for name in there if name in here and name != target]
    missing = tuple(sorted(set(there).symmetric_difference(here) - {target or ""}))
    features = [f for f in (_feature(name, left[name]) for name in shared) if f is not None]
    if not features:
        raise BeginError(f"{reference.name} and {current.name} share no column to compare")
    sides = [encode_features(_readable(side, features), features) for side in (left, right)]
    rules = DriftRules()
    reference_rows = summarise_stream(sides[0], sides[0], features, rules)
    result = check_drift(reference_rows, sides[1], features, rules)
    if report is not None:
        html = render_report(sides[0], sides[1], features, rules.alpha, rules.share)
        if html is None:
            raise BeginError("--report: no column can be drawn")
        report.write_text(html, encoding="utf-8")
    return Comparison(result, missing)


def _feature(name: str, column: pd.Series[Any]) -> Feature | None:
    if as_numbers(column) is not None:
        return Feature(name=name)
    if as_times(column) is not None:
        return None
    categories = tuple(categories_of(column))[:MOST_CATEGORIES]
    return Feature(name=name, kind="categorical", categories=categories)


def _readable(frame: pd.DataFrame, features: list[Feature]) -> pd.DataFrame:
    columns = {}
    for feature in features:
        numbers = as_numbers(frame[feature.name]) if feature.kind == "numeric" else None
        columns[feature.name] = frame[feature.name] if numbers is None else numbers
    return pd.DataFrame(columns)


def show_comparison(comparison: Comparison, console: Console) -> None:
    """The verdict and a table, worst features first."""
    result = comparison.result
    table = Table("feature", "test", "effect", "p adjusted", "drifted")
    worst = sorted(result.features, key=lambda f: f.effect if f.effect is not None else -np.inf)
    for feature in reversed(worst):
        if feature.not_testable is not None:
            table.add_row(feature.name, f"not testable: {feature.not_testable}", "", "", "")
            continue
        table.add_row(
            feature.name,
            feature.test or "",
            f"{feature.effect:.3f}",
            f"{feature.p_adjusted:.2g}",
            "yes" if feature.is_drifted else "",
        )
    console.print(table)
    if comparison.missing:
        console.print(f"only in one file: {', '.join(comparison.missing)}", markup=False)
    console.print(result.reason, markup=False)
