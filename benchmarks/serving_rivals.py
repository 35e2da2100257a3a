"""What is commonly written instead: FastAPI with a typed body, and FastAPI with a pickled pipeline.

Neither checks a token, keeps a journal or counts anything.
"""

from __future__ import annotations

from typing import Any

from benchmarks.serving_limit import bundle_folder, open_session
from storage.manifest import Manifest, decode_manifest

PIPELINE = "pipeline.joblib"


def make_typed() -> Any:
    """FastAPI with a pydantic model and ONNX Runtime."""
    import numpy as np
    from fastapi import FastAPI
    from pydantic import create_model

    manifest = _manifest()
    fields: dict[str, Any] = {
        feature.name: (float | None if feature.kind == "numeric" else str | None, None)
        for feature in manifest.features
    }
    body_type: Any = create_model("Body", features=(create_model("Features", **fields), ...))
    session = open_session((bundle_folder() / "model.onnx").read_bytes())
    encode = _encoder(manifest)
    app = FastAPI()

    def predict(body: Any) -> dict[str, float]:
        row = encode(body.features.model_dump())
        matrix = np.array([row], dtype=np.float32)
        return {"probability": float(session.run(["output"], {"input": matrix})[0][0][1])}

    async def endpoint(body: Any) -> dict[str, float]:
        return predict(body)

    endpoint.__annotations__["body"] = body_type
    app.post("/predict")(endpoint)
    return app


def make_pickled() -> Any:
    """FastAPI with joblib and pandas: the usual service written by hand."""
    import joblib
    import pandas as pd
    from fastapi import FastAPI

    manifest = _manifest()
    pipeline = joblib.load(bundle_folder().parent / PIPELINE)
    encode = _encoder(manifest)
    names = [feature.name for feature in manifest.features]
    app = FastAPI()

    @app.post("/predict")
    def predict(body: dict[str, dict[str, Any]]) -> dict[str, float]:
        frame = pd.DataFrame([encode(body["features"])], columns=names)
        matrix = frame.astype("float32").to_numpy()
        return {"probability": float(pipeline.predict_proba(matrix)[0][1])}

    return app


def _manifest() -> Manifest:
    return decode_manifest((bundle_folder() / "manifest.json").read_bytes())


def _encoder(manifest: Manifest) -> Any:
    codes: dict[str, dict[Any, int]] = {
        feature.name: {category: code for code, category in enumerate(feature.categories)}
        for feature in manifest.features
        if feature.kind == "categorical"
    }

    def encode(values: dict[str, Any]) -> list[Any]:
        return [
            codes[feature.name].get(values.get(feature.name), -1)
            if feature.name in codes
            else values.get(feature.name)
            for feature in manifest.features
        ]

    return encode
