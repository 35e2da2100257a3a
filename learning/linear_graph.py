"""How a linear model's inputs become nodes of an ONNX graph."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from learning.linear_inputs import LinearInputs

ML = "ai.onnx.ml"


@cache
def register_inputs() -> None:
    """Tell skl2onnx how `LinearInputs` is converted."""
    from skl2onnx import update_registered_converter

    update_registered_converter(LinearInputs, "PerennialLinearInputs", _shape, _convert)


def _shape(operator: Any) -> None:
    from skl2onnx.common.data_types import FloatTensorType

    width = len(operator.raw_operator.features_)
    operator.outputs[0].type = FloatTensorType([None, width])


def _convert(scope: Any, operator: Any, container: Any) -> None:
    inputs, rows = operator.raw_operator, operator.inputs[0].full_name
    found = operator.outputs[0].full_name
    nodes = _Nodes(scope, container)
    if not len(inputs.codes_):
        nodes.prepare(rows, inputs, found)
        return
    # Three times as fast on many rows as Gather, and Sub and Mul five times as fast as Scaler.
    columns = nodes.constant(inputs.columns_)
    picked = nodes.add("ArrayFeatureExtractor", [rows, columns], 1, op_domain=ML)
    same = nodes.add("Equal", [picked, nodes.constant(inputs.codes_)], 13)
    categories = nodes.add("Cast", [same], 13, to=1)
    numbers = nodes.prepare(rows, inputs)
    container.add_node("Concat", [numbers, categories], found, axis=1, op_version=13)


class _Nodes:
    """Adds nodes and constants under names that are free."""

    def __init__(self, scope: Any, container: Any) -> None:
        self._scope, self._container = scope, container

    def prepare(self, rows: str, inputs: LinearInputs, output: str | None = None) -> str:
        """Fill, clip and scale all features; where that is written."""
        fill: dict[str, Any] = {"replaced_value_float": float("nan")}
        fill["imputed_value_floats"] = inputs.fill_.tolist()
        last = self.add("Imputer", [rows], 1, op_domain=ML, **fill)
        last = self.add("Max", [last, self.constant(inputs.low_)], 13)
        last = self.add("Min", [last, self.constant(inputs.high_)], 13)
        last = self.add("Sub", [last, self.constant(inputs.center_)], 14)
        return self.add("Mul", [last, self.constant(inputs.scale_)], 14, output)

    def add(
        self,
        kind: str,
        inputs: list[str],
        version: int,
        output: str | None = None,
        **attributes: Any,
    ) -> str:
        """A node; the name of its output, which is new unless it is given."""
        output = output or self._name(kind.lower())
        self._container.add_node(kind, inputs, output, op_version=version, **attributes)
        return output

    def constant(self, values: Any) -> str:
        """An array of the graph."""
        from onnx import TensorProto

        name = self._name("values")
        kind = TensorProto.INT64 if values.dtype == np.int64 else TensorProto.FLOAT
        self._container.add_initializer(name, kind, list(values.shape), values.tolist())
        return name

    def _name(self, what: str) -> str:
        return str(self._scope.get_unique_variable_name(f"linear_{what}"))
