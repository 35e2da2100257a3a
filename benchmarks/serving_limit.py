"""The limit: a bare ASGI app that decodes the body, runs the same ONNX session and answers.

No route, token, check, journal or metric: what is slower than this pays for what it adds.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnxruntime

from storage.manifest import decode_manifest

Message = dict[str, Any]
HEADERS = [(b"content-type", b"application/json")]


def open_session(model: bytes) -> Any:
    """A session as the API opens it: one thread, no spinning, no arena."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.enable_cpu_mem_arena = False
    options.enable_mem_pattern = False
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def bundle_folder() -> Path:
    """The bundle that this server process was told to serve."""
    return Path(os.environ["BENCHMARK_BUNDLE"])


def make_app() -> Callable[..., Awaitable[None]]:
    """The app; its decoder is typed by the bundle's features."""
    features = decode_manifest((bundle_folder() / "manifest.json").read_bytes()).features
    kinds = {"numeric": float | None, "categorical": str | None}
    row = msgspec.defstruct("Row", [(f.name, kinds[f.kind], None) for f in features], gc=False)
    codes = [
        (place, {category: float(code) for code, category in enumerate(feature.categories)})
        for place, feature in enumerate(features)
        if feature.kind == "categorical"
    ]
    body_type = msgspec.defstruct("Body", [("features", row)])
    decoder = msgspec.json.Decoder(body_type)
    session = open_session((bundle_folder() / "model.onnx").read_bytes())

    async def app(_scope: Message, receive: Any, send: Any) -> None:
        body: Any = decoder.decode((await receive())["body"])
        values = list(msgspec.structs.astuple(body.features))
        for place, known in codes:
            values[place] = known.get(values[place], -1.0)
        matrix = np.array((values,), dtype=np.float32)
        probability = session.run(["output"], {"input": matrix})[0][0].tolist()[1]
        content = msgspec.json.encode({"probability": probability})
        length = (b"content-length", b"%d" % len(content))
        await send({"type": "http.response.start", "status": 200, "headers": [*HEADERS, length]})
        await send({"type": "http.response.body", "body": content})

    return app
