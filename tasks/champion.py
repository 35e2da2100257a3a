"""The champion as the loop needs it: its manifest, its graph and its reference window."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from loguru import logger
from numpy.typing import NDArray
from sqlalchemy import Row

from learning.archive import N_ASKED
from learning.onnx_export import run_graph
from learning.problem import Feature
from learning.rows import Matrix, Schema, encode_features
from storage import models
from storage.bundles import LOSS, REFERENCE, STATISTICS, BundleError, read_bundle
from storage.database import reading
from storage.manifest import Manifest
from tasks.run import Run


@dataclass(frozen=True)
class Champion:
    """The served version; ``reference`` are its training rows, thinned, encoded by its schema.

    ``statistics`` are the bytes of `STATISTICS`, None in bundles that are older than that file.
    ``loss`` is the graph that foretells a regression's errors, None where the bundle has none.
    """

    version: int
    manifest: Manifest
    graph: bytes
    reference: Matrix
    clock: pd.Timestamp
    statistics: bytes | None = None
    loss: bytes | None = None

    @property
    def schema(self) -> Schema:
        """What it was trained on, which the problem file may have left behind since."""
        manifest = self.manifest
        features = tuple(
            Feature(name=f.name, kind=f.kind, categories=f.categories, group=f.group)
            for f in manifest.features
        )
        return Schema(manifest.target, manifest.task, features, manifest.classes)

    @property
    def training_end(self) -> np.datetime64:
        """Event time of its newest training row."""
        return np.datetime64(pd.Timestamp(self.manifest.training_end).tz_convert(None), "us")


def load_champion(run: Run, version: int | None = None) -> Champion | None:
    """The champion, or a ``version`` that was one; None before the first promotion.

    Raises BundleError if its bundle is damaged.
    """
    with reading(run.engine) as connection:
        if version is None:
            row = models.champion(connection, run.name)
        else:
            row = models.find_version(connection, run.name, version)
    if row is None or row.bundle is None:
        return None
    bundle = read_bundle(run.store, run.name, row.bundle)
    path = bundle.path / REFERENCE
    if not path.exists():
        raise BundleError("truncated", f"bundle {row.bundle[:12]}: {REFERENCE} is missing")
    reference = pd.read_parquet(io.BytesIO(path.read_bytes()))
    return Champion(
        row.version,
        bundle.manifest,
        bundle.model,
        reference.to_numpy(dtype=np.float32),
        pd.Timestamp(row.clock),
        _bytes(bundle.path / STATISTICS),
        _bytes(bundle.path / LOSS),
    )


def _bytes(path: Path) -> bytes | None:
    return path.read_bytes() if path.exists() else None


def rival_output(
    champion: Champion, newest: pd.DataFrame, schema: Schema, dummy: NDArray[Any]
) -> NDArray[Any]:
    """The champion's output for the holdout, in the order of the classes as they are now.

    It sees the rows as it was trained to, whatever features the problem file names by now; a
    champion of another task is no rival, which leaves the dummy.
    """
    known = champion.schema
    if known.task != schema.task:
        return dummy
    output = run_graph(champion.graph, encode_features(newest, known.features))
    if known.classes == schema.classes:
        return output
    ordered = np.zeros((len(output), len(schema.classes)), dtype=output.dtype)
    for place, name in enumerate(schema.classes):
        if name in known.classes:
            ordered[:, place] = output[:, known.classes.index(name)]
    return ordered


def served_frame(run: Run, listed: Sequence[Row[Any]], names: Sequence[str]) -> pd.DataFrame:
    """Inputs of stored predictions by feature name; what a version did not know is missing.

    The inputs are stored in the order of the version that answered, and the problem file may have
    changed since.
    """
    places: dict[str, list[int]] = {}
    for place, row in enumerate(listed):
        places.setdefault(row.model_version, []).append(place)
    columns = {name: np.full(len(listed), None, dtype=object) for name in names}
    for version, of_version in places.items():
        given = _names_of(run, version) or tuple(names)
        values = zip(*(listed[place].features for place in of_version), strict=True)
        for name, column in zip(given, values, strict=False):
            if name in columns:
                columns[name][of_version] = list(column)
    return pd.DataFrame({name: list(column) for name, column in columns.items()})


def _names_of(run: Run, version: str) -> tuple[str, ...] | None:
    with reading(run.engine) as connection:
        row = models.find_version(connection, run.name, int(version)) if version.isdigit() else None
    if row is None or row.bundle is None:
        return None
    try:
        manifest = read_bundle(run.store, run.name, row.bundle).manifest
    except BundleError:
        return None
    return tuple(feature.name for feature in manifest.features)


def former_champions(run: Run, champion: Champion) -> list[Champion]:
    """The newest champions before this one that can be loaded, newest first."""
    with reading(run.engine) as connection:
        rows = models.archived(connection, run.name, N_ASKED)
    found = []
    for row in rows:
        try:
            former = load_champion(run, row.version)
        except BundleError as error:
            logger.warning("{}: version {} cannot return: {}", run.name, row.version, error)
            continue
        if former is not None and former.schema.task == champion.schema.task:
            found.append(former)
    return found
