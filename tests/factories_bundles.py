"""Makes small real bundles: ONNX graphs built node by node, with manifests that describe them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from msgspec.structs import replace
from onnx import TensorProto, helper, numpy_helper

from storage.bundles import sha256, write_bundle
from storage.candidates import Candidate, Role
from storage.manifest import FeatureSpec, Golden, Manifest, RiskBand
from storage.pointers import Pointer, move_pointer, read_pointer

OPSET = 17
IR_VERSION = 8
AGE_AND_PLAN = (
    FeatureSpec("age", "numeric"),
    FeatureSpec("plan", "categorical", categories=("basic", "1", "true")),
)


def graph_bytes(
    nodes: Sequence[Any],
    initializers: Sequence[Any],
    n_features: int,
    width: int,
    *,
    input_name: str = "input",
    output_name: str = "output",
    input_type: int = TensorProto.FLOAT,
) -> bytes:
    """A model of one input and one output."""
    graph = helper.make_graph(
        list(nodes),
        "tiny",
        [helper.make_tensor_value_info(input_name, input_type, [None, n_features])],
        [helper.make_tensor_value_info(output_name, TensorProto.FLOAT, [None, width])],
        list(initializers),
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)])
    model.ir_version = IR_VERSION
    content: bytes = model.SerializeToString()
    return content


def array(name: str, values: Any) -> Any:
    """A float32 constant of a graph."""
    return numpy_helper.from_array(np.asarray(values, dtype=np.float32), name)


def softmax_graph(weights: Sequence[Sequence[float]], bias: Sequence[float]) -> bytes:
    """Softmax of a linear map ([features, classes]); missing numbers count as 0."""
    nodes = [
        helper.make_node("IsNaN", ["input"], ["missing"]),
        helper.make_node("Where", ["missing", "zero", "input"], ["filled"]),
        helper.make_node("Gemm", ["filled", "weights", "bias"], ["scores"]),
        helper.make_node("Softmax", ["scores"], ["output"], axis=1),
    ]
    constants = [array("weights", weights), array("bias", bias), array("zero", 0.0)]
    return graph_bytes(nodes, constants, len(weights), len(bias))


def constant_graph(value: float, n_features: int = 1) -> bytes:
    """A regression that answers ``value`` for every row, such as its own version number."""
    nodes = [
        helper.make_node("IsNaN", ["input"], ["missing"]),
        helper.make_node("Where", ["missing", "zero", "zero"], ["nothing"]),
        helper.make_node("MatMul", ["nothing", "column"], ["base"]),
        helper.make_node("Add", ["base", "value"], ["output"]),
    ]
    zero = array("zero", np.zeros((1, n_features)))
    constants = [zero, array("column", np.zeros((n_features, 1))), array("value", [value])]
    return graph_bytes(nodes, constants, n_features, 1)


def make_manifest(model: bytes, golden: Golden, **changes: Any) -> Manifest:
    """A manifest of a regression called ``demo``, with the fields of ``changes`` replaced."""
    fields: dict[str, Any] = {
        "problem": "demo",
        "version": "1",
        "task": "regression",
        "target": "y",
        "features": (FeatureSpec("x", "numeric"),),
        "model_kind": "linear",
        "model_sha256": sha256(model),
        "golden": golden,
        "trained_at": datetime(2026, 1, 1, tzinfo=UTC).isoformat(),
        "training_start": "2025-12-01T00:00:00+00:00",
        "training_end": "2025-12-31T00:00:00+00:00",
        "n_training_rows": 100,
        "training_window": "all",
        "data_version": 3,
        "metric": "mae",
        "metrics": {"mae": 0.5},
    }
    return Manifest(**{**fields, **changes})


def write_version(store: Path, version: int, *, problem: str = "demo", padding: int = 0) -> str:
    """Name of a written bundle whose model answers its own version number.

    ``padding`` bytes make the graph larger, so that loading takes longer.
    """
    model = constant_graph(float(version))
    if padding:
        nodes = [helper.make_node("Identity", ["input"], ["output"])]
        rest = array("unused", np.arange(padding // 4))
        model = _padded(version, nodes, rest)
    golden = Golden(inputs=((0.0,), (None,)), outputs=((version,), (version,)), tolerance=1e-6)
    manifest = make_manifest(model, golden, problem=problem, version=str(version))
    return write_bundle(store, manifest, {"model.onnx": model})


def _padded(version: int, _nodes: Any, rest: Any) -> bytes:
    nodes = [
        helper.make_node("IsNaN", ["input"], ["missing"]),
        helper.make_node("Where", ["missing", "zero", "zero"], ["nothing"]),
        helper.make_node("ReduceMax", ["unused"], ["largest"], keepdims=0),
        helper.make_node("Mul", ["nothing", "largest"], ["still_nothing"]),
        helper.make_node("Add", ["still_nothing", "value"], ["output"]),
    ]
    constants = [array("zero", [[0.0]]), array("value", [[float(version)]]), rest]
    return graph_bytes(nodes, constants, 1, 1)


def write_classifier(store: Path, **changes: Any) -> str:
    """Name of a written binary bundle of ``age`` and ``plan``: classes 0 and 1.

    Its score for class 1 is age / 10 + plan code, against 0 for class 0.
    """
    model = softmax_graph([[0.0, 0.1], [0.0, 1.0]], [0.0, 0.0])
    rows = ((0.0, 0.0), (10.0, 1.0), (None, -1.0))
    scores = (0.0, 2.0, -1.0)
    outputs = tuple(
        (1 - 1 / (1 + math.exp(-score)), 1 / (1 + math.exp(-score))) for score in scores
    )
    fields: dict[str, Any] = {
        "task": "binary",
        "classes": ("0", "1"),
        "class_type": "integer",
        "features": AGE_AND_PLAN,
        "threshold": 0.5,
        "risk_levels": (RiskBand("low", 0.0), RiskBand("medium", 0.3), RiskBand("high", 0.7)),
        "cost_false_positive": 1.0,
        "cost_false_negative": 10.0,
        "metric": "roc_auc",
        "metrics": {"roc_auc": 0.9},
    }
    golden = Golden(inputs=rows, outputs=outputs, tolerance=1e-5)
    manifest = make_manifest(model, golden, **{**fields, **changes})
    return write_bundle(store, manifest, {"model.onnx": model})


def write_colours(store: Path, **changes: Any) -> str:
    """Name of a written multiclass bundle of ``x``: red below 0, green about 0, blue above."""
    model = softmax_graph([[-2.0, 0.0, 2.0]], [0.0, 0.5, 0.0])
    scores = np.array([0.0, 0.5, 0.0])
    output = np.exp(scores) / np.exp(scores).sum()
    fields: dict[str, Any] = {"task": "multiclass", "classes": ("red", "green", "blue")}
    golden = Golden(inputs=((0.0,),), outputs=(tuple(output.tolist()),), tolerance=1e-5)
    manifest = make_manifest(model, golden, **{**fields, **changes})
    return write_bundle(store, manifest, {"model.onnx": model})


def promote(
    store: Path, bundle: str, generation: int, version: str = "1", problem: str = "demo"
) -> Pointer:
    """The pointer, moved to a bundle."""
    pointer = Pointer(problem, generation, version, bundle, datetime.now(UTC))
    move_pointer(store, pointer)
    return pointer


def stand_beside(
    store: Path,
    generation: int,
    version: int,
    bundle: str | None = None,
    share: float = 0.5,
    role: Role = "canary",
) -> Candidate:
    """The candidate that the pointer names from now on, beside whatever is served."""
    pointer = read_pointer(store, "demo")
    assert pointer is not None
    bundle = bundle or write_version(store, version)
    candidate = Candidate(str(version), bundle, role, share)
    move_pointer(store, replace(pointer, generation=generation, candidate=candidate))
    return candidate


def promote_version(store: Path, version: int, problem: str = "demo") -> Pointer:
    """Write the model that answers ``version`` and promote it as that generation."""
    bundle = write_version(store, version, problem=problem)
    return promote(store, bundle, version, str(version), problem)


def replace_manifest(store: Path, bundle: str, problem: str = "demo", **changes: Any) -> str:
    """Name of a copy of a bundle whose manifest says something else."""
    folder = store / "bundles" / problem / bundle
    manifest = msgspec.json.decode((folder / "manifest.json").read_bytes(), type=Manifest)
    changed = msgspec.structs.replace(manifest, **changes)
    return write_bundle(store, changed, {"model.onnx": (folder / "model.onnx").read_bytes()})
