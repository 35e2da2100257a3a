"""The champion as the loop needs it: its manifest, its graph and its reference window."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
import pandas as pd

from learning.rows import EVENT_TIME, LABEL, Matrix, Rows, Schema, encode
from storage import models
from storage.bundles import REFERENCE, BundleError, read_bundle
from storage.database import reading
from storage.manifest import Manifest
from tasks.run import Run


@dataclass(frozen=True)
class Champion:
    """The served version; ``reference`` are its training rows, thinned, encoded by its schema."""

    version: int
    manifest: Manifest
    graph: bytes
    reference: Matrix
    clock: pd.Timestamp

    @property
    def training_end(self) -> np.datetime64:
        """Event time of its newest training row."""
        return np.datetime64(pd.Timestamp(self.manifest.training_end).tz_convert(None), "us")


def load_champion(run: Run) -> Champion | None:
    """The champion, or None before the first promotion. Raises BundleError if it is damaged."""
    with reading(run.engine) as connection:
        row = models.champion(connection, run.name)
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
    )


def encode_served(times: list[pd.Timestamp], features: list[list[object]], schema: Schema) -> Rows:
    """Rows of served predictions from their stored inputs (values in schema order)."""
    columns = list(zip(*features, strict=True)) if features else [()] * len(schema.names)
    frame = pd.DataFrame(
        {name: list(values) for name, values in zip(schema.names, columns, strict=True)}
    )
    frame[EVENT_TIME] = pd.to_datetime(times, utc=True)
    frame[LABEL] = None
    return encode(frame, schema)
