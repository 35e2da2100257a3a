"""How a linear model's inputs become nodes of an ONNX graph."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from learning.linear_inputs import LinearInputs


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
    parts = []
    if len(inputs.numeric):
        parts.append(_numbers(scope, container, rows, inputs))
    if len(inputs.codes_):
        parts.append(_categories(scope, container, rows, inputs))
    container.add_node("Concat", parts, operator.outputs[0].full_name, axis=1, op_version=13)


def _numbers(scope: Any, container: Any, rows: str, inputs: LinearInputs) -> str:
    picked = _pick(scope, container, rows, np.asarray(inputs.numeric, dtype=np.int64))
    is_gap = _node(scope, container, "IsNaN", [picked], 13)
    fill = _constant(scope, container, inputs.fill_)
    last = _node(scope, container, "Where", [is_gap, fill, picked], 16)
    for kind, version, values in (
        ("Max", 13, inputs.low_),
        ("Min", 13, inputs.high_),
        ("Sub", 14, inputs.center_),
        ("Div", 14, inputs.spread_),
    ):
        last = _node(scope, container, kind, [last, _constant(scope, container, values)], version)
    return last


def _categories(scope: Any, container: Any, rows: str, inputs: LinearInputs) -> str:
    picked = _pick(scope, container, rows, inputs.columns_)
    codes = _constant(scope, container, inputs.codes_)
    same = _node(scope, container, "Equal", [picked, codes], 13)
    return _node(scope, container, "Cast", [same], 13, to=1)


def _pick(scope: Any, container: Any, rows: str, columns: Any) -> str:
    return _node(
        scope, container, "Gather", [rows, _constant(scope, container, columns)], 13, axis=1
    )


def _node(
    scope: Any, container: Any, kind: str, inputs: list[str], version: int, **attributes: Any
) -> str:
    name = str(scope.get_unique_variable_name(f"linear_{kind.lower()}"))
    container.add_node(kind, inputs, name, op_version=version, **attributes)
    return name


def _constant(scope: Any, container: Any, values: Any) -> str:
    from onnx import TensorProto

    name = str(scope.get_unique_variable_name("linear_values"))
    kind = TensorProto.INT64 if values.dtype == np.int64 else TensorProto.FLOAT
    container.add_initializer(name, kind, list(values.shape), values.tolist())
    return name
