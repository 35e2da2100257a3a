"""The description that travels with a served model: all that an answer needs but the graph."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

FORMAT = 1


class FeatureSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One input column. A category's code is its index; missing and unseen ones are -1."""

    name: str
    kind: Literal["numeric", "categorical"]
    categories: tuple[str, ...] = ()
    group: str | None = None


class RiskBand(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A named band of the positive class's probability, from ``above`` upwards."""

    name: str
    above: float


class Golden(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Known answers: encoded rows (float32, NaN as null) and what the fitted model said of them."""

    inputs: tuple[tuple[float | None, ...], ...]
    outputs: tuple[tuple[float, ...], ...]
    tolerance: float


class LossSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the bundle's second graph foretells of a regression, and how far it may be off."""

    kind: Literal["absolute", "squared"]
    spread: float
    n_rows: int


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What ``manifest.json`` holds beside ``model.onnx``.

    The graph takes one float32 input ``input`` of shape [n, features], encoded by ``features``,
    and gives one float32 output ``output``: class probabilities [n, classes], or values [n, 1].
    ``calibration`` holds, for the positive class or for each of many, slope and intercept of its
    scaling, the slope's variance, their covariance and the intercept's variance.
    ``searched_rows`` are the labelled rows that there were when its kind and settings were searched
    for. ``expected`` is the value of ``metric`` that it should reach live; None: the holdout's.
    ``baseline`` is what a dummy answers to any row: the shares of the classes, or the median.
    """

    format: int = FORMAT
    problem: str
    version: str
    task: Literal["binary", "multiclass", "regression"]
    target: str
    classes: tuple[str, ...] = ()
    class_type: Literal["integer", "text"] = "text"
    features: tuple[FeatureSpec, ...]
    threshold: float | None = None
    risk_levels: tuple[RiskBand, ...] = ()
    cost_false_positive: float = 1.0
    cost_false_negative: float = 1.0
    model_kind: str
    model_sha256: str
    golden: Golden
    trained_at: str
    training_start: str
    training_end: str
    n_training_rows: int
    training_window: str
    searched_rows: int | None = None
    data_version: int
    metric: str
    metrics: dict[str, float | None]
    expected: float | None = None
    parameters: dict[str, Any] = {}
    parity: dict[str, float] = {}
    importance: dict[str, float] = {}
    baseline: tuple[float, ...] = ()
    calibration: tuple[tuple[float, ...], ...] = ()
    loss: LossSpec | None = None
    mlflow_run_id: str | None = None
    libraries: dict[str, str] = {}

    @property
    def expected_live(self) -> float | None:
        """The value of the metric that it should reach live."""
        return self.metrics.get(self.metric) if self.expected is None else self.expected


def cut(manifest: Manifest) -> float:
    """The probability from which a row is called positive; 0.5 where the task has none."""
    return 0.5 if manifest.threshold is None else manifest.threshold


def encode_manifest(manifest: Manifest) -> bytes:
    """Canonical bytes of a manifest: the same content gives the same bytes."""
    return msgspec.json.format(msgspec.json.encode(manifest, order="deterministic"), indent=1)


def decode_manifest(content: bytes) -> Manifest:
    """Manifest from its bytes.

    Raises msgspec.ValidationError when a field is missing, unknown or of another type.
    """
    return msgspec.json.decode(content, type=Manifest)
