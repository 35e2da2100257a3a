"""Beginning: a problem file from data, and data from a shipped problem."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import pandas as pd
from rich.console import Console
from rich.table import Table

from learning.generator import generate
from learning.inference import Inferred, infer_problem
from learning.problem import DriftKind, GeneratorDrift, Problem
from settings import CHECKOUT, Settings
from storage.problems import load_problem, problem_folders, write_problem
from storage.tabular import read_table


class BeginError(Exception):
    """A problem cannot be begun as asked; the message says why and what to do."""


@dataclass(frozen=True)
class Begun:
    """A problem file that was written, and what was inferred for it."""

    inferred: Inferred
    path: Path

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        problem = self.inferred.problem
        return {
            "name": problem.name,
            "file": str(self.path),
            "task": problem.task,
            "target": problem.target,
            "classes": list(problem.classes),
            "event_time": problem.event_time,
            "key": problem.key,
            "dropped": list(problem.drop),
            "features": [{"name": f.name, "kind": f.kind} for f in problem.features],
            "notes": list(self.inferred.notes),
            "warnings": list(self.inferred.warnings),
        }


def problem_name(path: Path) -> str:
    """A problem name from a file's name: lower case, other signs become ``-``."""
    stem = path.name.removesuffix(".gz").removesuffix(".csv").removesuffix(".parquet")
    return re.sub(r"[^a-z0-9._-]+", "-", stem.lower()).strip("-._")[:64] or "problem"


def init_problem(
    settings: Settings,
    data: Path,
    target: str,
    name: str | None,
    event_time: str | None,
    key: str | None,
    drop: tuple[str, ...],
    force: bool,
) -> Begun:
    """Infer a problem from a file and write it to the user's folder of problems.

    Raises BeginError when a file of that name stands there already and ``force`` is not set.
    """
    if not data.is_file():
        raise BeginError(f"found no file {str(data)!r}; expected a CSV, CSV.gz or Parquet file")
    folder = settings.problems or CHECKOUT / "problems"
    name = name or problem_name(data)
    path = folder / f"{name}.yaml"
    if path.exists() and not force:
        raise BeginError(f"{path} exists; choose another --name, or replace it with --force")
    inferred = infer_problem(
        read_table(data), target, name=name, event_time=event_time, key=key, drop=drop
    )
    return Begun(inferred, write_problem(inferred.problem, folder))


def show_inferred(begun: Begun, console: Console) -> None:
    """What was inferred, for a person."""
    problem: Problem = begun.inferred.problem
    table = Table(title=f"{problem.name}: {problem.task}, target {problem.target}")
    table.add_column("feature")
    table.add_column("kind")
    table.add_column("categories", justify="right")
    for feature in problem.features[:60]:
        count = str(len(feature.categories)) if feature.kind == "categorical" else ""
        table.add_row(feature.name, feature.kind, count)
    console.print(table)
    for note in begun.inferred.notes:
        console.print(f"· {note}", markup=False)
    for warning in begun.inferred.warnings:
        console.print(f"warning: {warning}", style="yellow", markup=False)
    console.print(f"written to {begun.path}", markup=False)


def generate_rows(
    settings: Settings, name: str, rows: int, drift: str | None, of: str, start: int, first: int = 0
) -> pd.DataFrame:
    """Rows of a shipped problem, from number ``first`` on; BeginError for what is not known."""
    problem = load_problem(name, problem_folders(settings))
    if problem.generator is None:
        raise BeginError(f"{name} has no generator; expected linear, maintenance, churn or credit")
    kinds = get_args(DriftKind)
    if drift is not None and drift not in kinds:
        raise BeginError(f"--drift: found {drift!r}; expected one of {', '.join(kinds)}")
    if of not in ("inputs", "target", "both"):
        raise BeginError(f"--of: found {of!r}; expected inputs, target or both")
    asked: Any = {"kind": drift or "none", "of": of, "start_row": start}
    return generate(problem, rows, first, GeneratorDrift(**asked))


def write_rows(
    frame: pd.DataFrame, problem: str, out_file: Path | None, as_json: bool
) -> dict[str, Any] | None:
    """Write rows to a file, and say so; without a file as CSV to stdout, or as what to show."""
    made: dict[str, Any] = {"problem": problem, "rows": len(frame)}
    if out_file is None:
        if as_json:
            return {**made, "data": frame.to_dict("records")}
        frame.to_csv(sys.stdout, index=False)
        return None
    if out_file.name.endswith(".parquet"):
        frame.to_parquet(out_file, index=False)
    elif out_file.name.endswith((".csv", ".csv.gz")):
        frame.to_csv(out_file, index=False)
    else:
        raise BeginError(f"--out: found {out_file.name!r}; expected .csv, .csv.gz or .parquet")
    return {**made, "file": str(out_file)}
