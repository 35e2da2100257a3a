"""Whether a model's bytes point outside themselves, read without the onnx package."""

from __future__ import annotations

from collections.abc import Iterator

# Where a TensorProto or a graph can stand, by message kind (onnx.proto3, field numbers).
_CHILDREN = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "function": {7: "node", 11: "attribute"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
}
_EXTERNAL_DATA = 13
_DEPTH = 50


def has_external_data(model: bytes) -> bool:
    """Whether any tensor of the graph lies in another file.

    Such a tensor must name its file under the key ``location``: a model without these letters
    (nearly all) is not walked. What cannot be read as protobuf counts as external.
    """
    if b"location" not in model:
        return False
    try:
        return _is_external(memoryview(model), "model", 0)
    except (IndexError, ValueError):
        return True


def _is_external(message: memoryview, kind: str, depth: int) -> bool:
    if depth > _DEPTH:
        raise ValueError("nested too deeply")
    for number, content in _fields(message):
        if kind == "tensor":
            if number == _EXTERNAL_DATA:
                return True
        elif (child := _CHILDREN[kind].get(number)) and _is_external(content, child, depth + 1):
            return True
    return False


def _fields(message: memoryview) -> Iterator[tuple[int, memoryview]]:
    position = 0
    while position < len(message):
        tag, position = _varint(message, position)
        number, wire = tag >> 3, tag & 7
        if wire == 0:
            _, position = _varint(message, position)
        elif wire in (1, 5):
            position += 8 if wire == 1 else 4
        elif wire == 2:
            length, position = _varint(message, position)
            if position + length > len(message):
                raise ValueError("truncated")
            yield number, message[position : position + length]
            position += length
        else:
            raise ValueError("no such wire type")


def _varint(message: memoryview, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
