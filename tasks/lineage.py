"""Lineage: what a version was made of, kept with it, and made again to see that it is so."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

import pandas as pd
from sqlalchemy import Row

from learning.lineage import digest, rows_at, used
from learning.models import fit
from learning.onnx_export import export
from learning.problem import Feature
from learning.rows import Rows, Schema, encode
from learning.training import Challenger
from settings import Settings
from storage.bundles import read_bundle, sha256
from storage.database import dump_json
from storage.manifest import Manifest
from storage.observations import read_observations
from tasks.code_version import code_version, library_versions
from tasks.policy import policy_of
from tasks.run import Run


class LineageError(ValueError):
    """What a version was made of is not known, or not there any more; the message says which."""


@dataclass(frozen=True)
class Remade:
    """What checking a lineage gave: the rows as they are now, and the graph made again from them.

    ``differences`` are sentences; none means that everything is as it was. ``model_sha256`` is
    None unless the model was trained again.
    """

    rows: pd.DataFrame
    differences: tuple[str, ...]
    model_sha256: str | None = None


def lineage_of(run: Run, challenger: Challenger, data: int) -> dict[str, Any]:
    """What a challenger was made of, as facts that SQL can keep."""
    frame = read_observations(run.store, run.name, data, labelled_only=True)
    return {
        "data_version": data,
        "training": asdict(used(frame, challenger.training)),
        "holdout": asdict(used(frame, challenger.holdout)),
        "window": challenger.window,
        "model": challenger.fitted.kind,
        "parameters": challenger.fitted.parameters,
        "seed": run.problem.search.seed,
        "problem_sha256": policy_of(run.problem)[0],
        "code": code_version(),
        "libraries": library_versions(),
    }


def lineage_file(run: Run, lineage: dict[str, Any]) -> bytes:
    """The lineage as it travels in the bundle: with the whole problem file."""
    content = {**lineage, "problem": policy_of(run.problem)[1]}
    return json.dumps(json.loads(dump_json(content)), sort_keys=True, indent=1).encode()


def remake(settings: Settings, row: Row[Any], is_rerun: bool = False) -> Remade:
    """Load a version's rows again as of its data version, and with ``is_rerun`` train it again.

    Raises LineageError when the version has no lineage or its data version is gone, BundleError
    when its bundle is.
    """
    name = f"{row.problem}: version {row.version}"
    if row.lineage is None:
        raise LineageError(f"{name} has no lineage: it never had a bundle, or is older than that")
    lineage = row.lineage
    frame = _as_of(settings, row, lineage["data_version"])
    training = rows_at(frame, lineage["training"]["spans"])
    holdout = rows_at(frame, lineage["holdout"]["spans"])
    differences = [
        *_differs("training", training, lineage["training"]),
        *_differs("holdout", holdout, lineage["holdout"]),
    ]
    if not is_rerun:
        return Remade(training, tuple(differences))
    manifest = read_bundle(settings.store, row.problem, row.bundle).manifest
    schema = schema_of(manifest)
    rows = encode(training, schema)
    found = sha256(_fitted_again(rows, schema, lineage))
    if found != manifest.model_sha256:
        differences.append(_why_other(found, manifest, lineage))
    return Remade(training, tuple(differences), found)


def _as_of(settings: Settings, row: Row[Any], data: int) -> pd.DataFrame:
    try:
        return read_observations(settings.store, row.problem, data, labelled_only=True)
    except Exception as error:  # delta-rs names a gone version or file in several ways
        raise LineageError(
            f"{row.problem}: version {row.version} was trained on data version {data}, which "
            f"cannot be read any more: {str(error).splitlines()[0][:200]}"
        ) from error


def schema_of(manifest: Manifest) -> Schema:
    """The schema that a bundle was trained with."""
    features = tuple(
        Feature(name=f.name, kind=f.kind, categories=f.categories, group=f.group)
        for f in manifest.features
    )
    return Schema(manifest.target, manifest.task, features, manifest.classes)


def _fitted_again(rows: Rows, schema: Schema, lineage: dict[str, Any]) -> bytes:
    fitted = fit(lineage["model"], lineage["parameters"], rows, schema, lineage["seed"])
    return export(fitted, len(schema.features))


def _differs(part: str, found: pd.DataFrame, was: dict[str, Any]) -> list[str]:
    if len(found) != was["n_rows"]:
        return [f"{part}: found {len(found)} rows, expected {was['n_rows']}"]
    now = digest(found)
    if now == was["sha256"]:
        return []
    return [f"{part}: the rows have the hash {now[:12]}, expected {was['sha256'][:12]}"]


def _why_other(found: str, manifest: Manifest, lineage: dict[str, Any]) -> str:
    now = library_versions()
    other = [
        f"{name} {was} then, {now.get(name)} now"
        for name, was in lineage["libraries"].items()
        if now.get(name) != was
    ]
    why = "; ".join(other) or "the libraries are the same; the code or the machine may differ"
    expected = manifest.model_sha256[:12]
    return f"trained again, the graph has the hash {found[:12]}, expected {expected}: {why}"
