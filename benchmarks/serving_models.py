"""Real bundles and bodies to measure with: fitted by `learning`, written by `storage`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pandas as pd

from learning.generator import generate
from learning.models import GRIDS, Fitted, fit
from learning.onnx_export import check_parity, export
from learning.problem import Problem
from learning.rows import EVENT_TIME, LABEL, Rows, Schema, encode
from storage.bundles import sha256, write_bundle
from storage.manifest import FeatureSpec, Golden, Manifest, RiskBand
from storage.pointers import Pointer, move_pointer, read_pointer
from storage.problems import SHIPPED, load_problem

TRAINING_ROWS = 3_000
BODIES = 2_000
N_GOLDEN = 20
TOLERANCE = 1e-4


@dataclass(frozen=True)
class Case:
    """One problem with one kind of model: what is measured, and the bodies it is asked with."""

    name: str
    problem: str
    bundle: str
    fitted: Fitted
    names: tuple[str, ...]
    rows: tuple[dict[str, float], ...]
    bodies: tuple[bytes, ...]


def make_case(store: Path, problem_name: str, kind: str) -> Case:
    """A trained, exported and promoted model with distinct bodies that it has not seen."""
    problem = load_problem(problem_name, [SHIPPED])
    schema = Schema.of(problem)
    frame = generate(problem, TRAINING_ROWS)
    rows = encode(_observed(frame, problem), schema)
    fitted = fit(kind, GRIDS[kind][0], rows, schema)
    graph = export(fitted, len(schema.names))
    manifest = _manifest(problem, schema, fitted, graph, rows)
    bundle = write_bundle(store, manifest, {"model.onnx": graph})
    promote_next(store, problem_name, bundle)
    fresh = generate(problem, BODIES, TRAINING_ROWS)[list(schema.names)]
    records: list[dict[str, Any]] = msgspec.json.decode(fresh.to_json(orient="records"))
    bodies = tuple(msgspec.json.encode({"features": record}) for record in records)
    name = f"{problem_name} {kind}"
    return Case(name, problem_name, bundle, fitted, schema.names, tuple(records), bodies)


def promote_next(store: Path, problem: str, bundle: str) -> int:
    """The generation under which a bundle is now served."""
    before = read_pointer(store, problem)
    generation = 1 if before is None else before.generation + 1
    move_pointer(store, Pointer(problem, generation, "1", bundle, datetime.now(UTC)))
    return generation


def _observed(frame: pd.DataFrame, problem: Problem) -> pd.DataFrame:
    return frame.rename(columns={problem.event_time: EVENT_TIME, problem.target: LABEL})


def _manifest(
    problem: Problem, schema: Schema, fitted: Fitted, graph: bytes, rows: Rows
) -> Manifest:
    parity = check_parity(fitted, graph, rows.x, TOLERANCE)
    if not parity.holds:
        raise ValueError(f"{problem.name}: the graph differs by {parity.largest_difference}")
    x = rows.x[:N_GOLDEN]
    golden = Golden(
        tuple(tuple(None if np.isnan(v) else float(v) for v in row) for row in x),
        tuple(tuple(map(float, row)) for row in fitted.output(x)),
        TOLERANCE,
    )
    return Manifest(
        problem=problem.name,
        version="1",
        task=schema.task,
        target=schema.target,
        classes=schema.classes,
        class_type="integer",
        features=tuple(FeatureSpec(f.name, f.kind, f.categories, f.group) for f in schema.features),
        threshold=0.5,
        risk_levels=tuple(RiskBand(level.name, level.above) for level in problem.risk_levels),
        cost_false_positive=problem.costs.false_positive,
        cost_false_negative=problem.costs.false_negative,
        model_kind=fitted.kind,
        model_sha256=sha256(graph),
        golden=golden,
        trained_at=datetime.now(UTC).isoformat(),
        training_start=str(rows.times[0]),
        training_end=str(rows.times[-1]),
        n_training_rows=len(rows),
        training_window="all",
        data_version=0,
        metric="roc_auc",
        metrics={},
    )
