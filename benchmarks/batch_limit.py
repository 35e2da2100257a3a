"""The limit for batches: bare ASGI that parses the same body and calls the same graph once.

No token, check of values, decision, id, journal or metric; the answer is the list of outputs.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from itertools import chain
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnxruntime

from storage.manifest import decode_manifest

Message = dict[str, Any]
ARROW = b"application/vnd.apache.arrow.stream"
BUNDLE = "BENCHMARK_BUNDLE"


def make_app() -> Callable[..., Awaitable[None]]:
    """The app for the bundle that the environment names."""
    folder = Path(os.environ[BUNDLE])
    features = decode_manifest((folder / "manifest.json").read_bytes()).features
    numbers = [place for place, f in enumerate(features) if f.kind == "numeric"]
    codes = {
        place: {category: float(code) for code, category in enumerate(f.categories)}
        for place, f in enumerate(features)
        if f.kind != "numeric"
    }
    kinds = tuple(float | None if f.kind == "numeric" else str | None for f in features)
    body = msgspec.defstruct("Body", [("columns", list[str]), ("data", list[tuple[kinds]])])  # type: ignore[valid-type]
    decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(body)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        (folder / "model.onnx").read_bytes(), options, providers=["CPUExecutionProvider"]
    )

    def parse_json(content: bytes) -> Any:
        rows = decoder.decode(content).data
        if not codes:
            return np.fromiter(chain.from_iterable(rows), np.float32).reshape(len(rows), -1)
        matrix = np.empty((len(rows), len(features)), dtype=np.float32)
        columns = list(zip(*rows, strict=True))
        matrix[:, numbers] = np.array([columns[place] for place in numbers], dtype=np.float32).T
        for place, known in codes.items():
            matrix[:, place] = [known.get(value, -1.0) for value in columns[place]]
        return matrix

    def parse_arrow(content: bytes) -> Any:
        import pyarrow

        table = pyarrow.ipc.open_stream(pyarrow.BufferReader(content)).read_all()
        matrix = np.empty((table.num_rows, len(features)), dtype=np.float32)
        for place, feature in enumerate(features):
            column = table.column(feature.name).chunk(0)
            if place in codes:
                known = [codes[place].get(value, -1.0) for value in column.dictionary.to_pylist()]
                matrix[:, place] = np.array(known, dtype=np.float32)[column.indices.to_numpy()]
            else:
                matrix[:, place] = column.to_numpy(zero_copy_only=False)
        return matrix

    async def app(scope: Message, receive: Any, send: Any) -> None:
        parts, is_whole = [], False
        while not is_whole:
            message = await receive()
            parts.append(message["body"])
            is_whole = not message.get("more_body")
        is_arrow = dict(scope["headers"]).get(b"content-type") == ARROW
        matrix = (parse_arrow if is_arrow else parse_json)(b"".join(parts))
        output = session.run(["output"], {"input": matrix})[0]
        content = msgspec.json.encode({"probabilities": output[:, -1].tolist()})
        headers = [(b"content-length", b"%d" % len(content))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": content})

    return app
