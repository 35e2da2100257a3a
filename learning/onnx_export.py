"""ONNX: the fitted model as a graph with one input and one output, proven equal to it."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType

from learning.calibration import Scaling
from learning.lightgbm_trees import register_converter
from learning.linear_graph import register_inputs
from learning.models import SCALED_FROM, Fitted
from learning.rows import Floats, Matrix

INPUT, OUTPUT = "input", "output"
OPSET = {"": 21, "ai.onnx.ml": 3}


@dataclass(frozen=True)
class Parity:
    """How far the graph's answers are from the fitted model's, at the worst row.

    ``largest_difference`` is absolute for probabilities and relative to the largest output for
    values; infinite when the graph gives anything but finite numbers, or was shown no rows.
    """

    n_rows: int
    largest_difference: float
    tolerance: float

    @property
    def holds(self) -> bool:
        """Whether the graph may stand for the model."""
        return self.largest_difference <= self.tolerance


def export(fitted: Fitted, n_features: int) -> bytes:
    """Bytes of an ONNX graph: float32 ``input`` [n, features] → float32 ``output``.

    The output is [n, classes] probabilities, or [n, 1] values.
    """
    options: dict[Any, Any] = {}
    if fitted.n_classes:
        last = getattr(fitted.pipeline, "steps", [(None, fitted.pipeline)])[-1][1]
        options = {id(last): {"zipmap": False}}
    if fitted.kind == "lightgbm":
        register_converter()
    elif fitted.kind == "linear":
        register_inputs()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the converter uses names that its libraries deprecate
        model = to_onnx(
            fitted.pipeline,
            initial_types=[(INPUT, FloatTensorType([None, n_features]))],
            options=options,
            target_opset=OPSET,
        )
    graph = model.graph
    _free_name(graph, OUTPUT)
    answer = graph.output[1 if fitted.n_classes else 0].name
    if fitted.n_classes and len(fitted.classes) < fitted.n_classes:
        answer = _spread_classes(graph, answer, fitted)
    if fitted.scaling is not None:
        answer = _scale_positive(graph, answer, fitted.scaling)
    graph.node.append(helper.make_node("Identity", [answer], [OUTPUT]))
    del graph.output[:]
    width = fitted.n_classes or 1
    graph.output.append(helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, [None, width]))
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString(deterministic=True))


def _free_name(graph: Any, name: str) -> None:
    """Rename what a converter called by a name that is ours."""
    for node in graph.node:
        for values in (node.input, node.output):
            for place, value in enumerate(values):
                if value == name:
                    values[place] = f"inner_{name}"
    for value in graph.output:
        if value.name == name:
            value.name = f"inner_{name}"


def _spread_classes(graph: Any, answer: str, fitted: Fitted) -> str:
    spread = np.zeros((len(fitted.classes), fitted.n_classes), dtype=np.float32)
    spread[np.arange(len(fitted.classes)), list(fitted.classes)] = 1
    graph.initializer.append(numpy_helper.from_array(spread, "class_columns"))
    graph.node.append(helper.make_node("MatMul", [answer, "class_columns"], ["all_classes"]))
    return "all_classes"


def _scale_positive(graph: Any, answer: str, scaling: Scaling) -> str:
    """Platt's scaling of the second column, as nodes: sigmoid(slope · logit(p) + intercept)."""
    numbers = {"nearest": SCALED_FROM, "farthest": 1 - SCALED_FROM, "one": 1.0, "second": 1}
    numbers |= {"slope": scaling.slope, "intercept": scaling.intercept}
    for name, number in numbers.items():
        kind = np.int64 if name == "second" else np.float32
        content = np.full((1,), number, dtype=kind)
        graph.initializer.append(numpy_helper.from_array(content, f"scaling_{name}"))
    steps: tuple[tuple[str, list[str], str, dict[str, int]], ...] = (
        ("Gather", [answer, "scaling_second"], "scaling_given", {"axis": 1}),
        ("Max", ["scaling_given", "scaling_nearest"], "scaling_above", {}),
        ("Min", ["scaling_above", "scaling_farthest"], "scaling_p", {}),
        ("Sub", ["scaling_one", "scaling_p"], "scaling_q", {}),
        ("Div", ["scaling_p", "scaling_q"], "scaling_odds", {}),
        ("Log", ["scaling_odds"], "scaling_logit", {}),
        ("Mul", ["scaling_logit", "scaling_slope"], "scaling_sloped", {}),
        ("Add", ["scaling_sloped", "scaling_intercept"], "scaling_moved", {}),
        ("Neg", ["scaling_moved"], "scaling_against", {}),
        ("Sigmoid", ["scaling_moved"], "scaling_positive", {}),
        ("Sigmoid", ["scaling_against"], "scaling_negative", {}),
        ("Concat", ["scaling_negative", "scaling_positive"], "scaled", {"axis": 1}),
    )
    for kind_of, inputs, output, attributes in steps:
        graph.node.append(helper.make_node(kind_of, inputs, [output], **attributes))
    return "scaled"


def run_graph(content: bytes, x: Matrix) -> Floats:
    """The graph's output on encoded rows, as float64."""
    return open_graph(content)(x)


def open_graph(content: bytes) -> Callable[[Matrix], Floats]:
    """A function from encoded rows to the graph's output, as float64."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    return lambda x: np.asarray(session.run([OUTPUT], {INPUT: x})[0], dtype=np.float64)


def parity_rows(x: Matrix, n_rows: int, seed: int = 0) -> Matrix:
    """At least ``n_rows`` rows to compare on: real ones, then real ones moved onto thresholds.

    Tree thresholds lie half way between neighbouring training values, so values at such points,
    where float32 rounding can flip a branch, are mixed into copies of real rows.
    """
    if not len(x):
        return x
    rng = np.random.default_rng(seed)
    short = max(n_rows - len(x), n_rows // 10)
    moved = x[rng.integers(0, len(x), short)].copy()
    for column in range(x.shape[1]):
        known = np.unique(x[:, column][~np.isnan(x[:, column])])
        if len(known) < 2 or (known == np.round(known)).all():
            continue
        middles = ((known[1:].astype(np.float64) + known[:-1]) / 2).astype(np.float32)
        rows = rng.random(short) < 0.3
        moved[rows, column] = rng.choice(middles, int(rows.sum()))
    return np.vstack([x, moved])


def check_parity(fitted: Fitted, content: bytes, x: Matrix, tolerance: float) -> Parity:
    """Compare the graph with the fitted model on encoded rows."""
    if not len(x):
        return Parity(0, float("inf"), tolerance)
    expected, found = fitted.output(x), run_graph(content, x)
    if expected.shape != found.shape or not np.isfinite(found).all():
        return Parity(len(x), float("inf"), tolerance)
    scale = 1.0 if fitted.n_classes else max(float(np.abs(expected).max()), 1e-12)
    return Parity(len(x), float((np.abs(expected - found) / scale).max()), tolerance)
