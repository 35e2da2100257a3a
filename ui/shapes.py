"""One feature's distribution in a past check beside the reference it was checked against."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from learning.drift_shapes import count_categories, count_numbers, edges_of_column
from storage.bundles import MANIFEST, REFERENCE, bundle_folder
from storage.manifest import FeatureSpec, Manifest, decode_manifest


@dataclass(frozen=True)
class Shape:
    """Shares of rows by bin or category: the reference's and the current window's."""

    bins: tuple[str, ...]
    reference: tuple[float, ...]
    current: tuple[float, ...]


def read_manifest(store: Path, problem: str, bundle: str) -> Manifest:
    """A bundle's manifest, without checking the hashes of the rest.

    Raises OSError when it is not there, msgspec.MsgspecError when it is damaged.
    """
    return decode_manifest((bundle_folder(store, problem, bundle) / MANIFEST).read_bytes())


def read_column(store: Path, problem: str, bundle: str, name: str) -> NDArray[np.float32]:
    """One column of a bundle's reference rows, encoded. Raises OSError or KeyError."""
    table = pq.read_table(bundle_folder(store, problem, bundle) / REFERENCE, columns=[name])
    return np.asarray(table.column(name).to_numpy(), dtype=np.float32)


def shape_of(feature: FeatureSpec, column: NDArray[np.float32], current: Sequence[int]) -> Shape:
    """The reference's column [n] beside the counts that a check kept of its window.

    Raises ValueError when the counts are of other bins.
    """
    if feature.kind == "categorical":
        bins = (*feature.categories, "missing or unseen")
        reference = count_categories(column, len(feature.categories)).tolist()
    else:
        edges = edges_of_column(column)
        bins, reference = _names(edges), count_numbers(column, edges)
    if len(current) != len(bins) or len(reference) != len(bins):
        raise ValueError(f"{feature.name}: found {len(current)} counts; expected {len(bins)}")
    shown = [p for p in range(len(bins)) if reference[p] or current[p]]
    return Shape(
        tuple(bins[place] for place in shown), _shares(reference, shown), _shares(current, shown)
    )


def _names(edges: NDArray[np.float32]) -> tuple[str, ...]:
    if not len(edges):
        return ("", "any", "missing")
    text = [f"{edge:.4g}" for edge in edges.tolist()]
    if len(edges) == 1:
        inner = [text[0]]
    else:
        inner = [f"{low} – {high}" for low, high in pairwise(text)]
        inner = [name if name not in inner[:p] else f"{name} ({p})" for p, name in enumerate(inner)]
    return (f"< {text[0]}", *inner, f"> {text[-1]}", "missing")


def _shares(counts: Sequence[int], shown: Sequence[int]) -> tuple[float, ...]:
    total = max(1, sum(counts))
    return tuple(counts[place] / total for place in shown)


def feature_of(manifest: Manifest, name: str) -> FeatureSpec | None:
    """The feature of this name, None where the model has none."""
    return next((one for one in manifest.features if one.name == name), None)
