from __future__ import annotations

import onnx
import pytest
from onnx import TensorProto, helper

from api.graph import has_external_data
from tests.factories_bundles import array, graph_bytes


def external(name: str) -> TensorProto:
    tensor = array(name, [1.0])
    onnx.external_data_helper.set_external_data(tensor, location="/etc/passwd")
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    return tensor


def test_a_tensor_in_another_file_is_found() -> None:
    nodes = [helper.make_node("Add", ["input", "far"], ["output"])]
    assert has_external_data(graph_bytes(nodes, [external("far")], 1, 1))


def test_a_constant_in_another_file_is_found_in_a_branch() -> None:
    far = helper.make_node("Constant", [], ["far"], value=external("value"))
    near = helper.make_node("Identity", ["input"], ["near"])
    out = helper.make_tensor_value_info
    branches = {
        "then_branch": helper.make_graph([far], "t", [], [out("far", TensorProto.FLOAT, [1])]),
        "else_branch": helper.make_graph([near], "e", [], [out("near", TensorProto.FLOAT, None)]),
    }
    nodes = [helper.make_node("If", ["which"], ["output"], **branches)]
    assert has_external_data(graph_bytes(nodes, [array("which", [1.0])], 1, 1))


def test_the_word_location_alone_is_no_other_file() -> None:
    nodes = [helper.make_node("Add", ["input", "location"], ["output"])]
    assert not has_external_data(graph_bytes(nodes, [array("location", [1.0])], 1, 1))


@pytest.mark.parametrize("rest", [b"\xff", b"\x3a\x7flocation", b"\x0b"])
def test_what_cannot_be_read_counts_as_external(rest: bytes) -> None:
    assert has_external_data(b"\x3a\x08location"[:2] + b"location" + rest)
