"""What is commonly used instead: FastAPI with a typed body or a pickled pipeline, and MLflow.

None checks a token, keeps a journal or counts anything.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.serving_limit import bundle_folder, open_session
from storage.manifest import Manifest, decode_manifest

PIPELINE = "pipeline.joblib"
MLFLOW_MODEL = "mlflow-model"
# What `mlflow models serve` finds around it anyway; asked, it would look for them itself.
REQUIREMENTS = ["mlflow", "scikit-learn"]


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


def save_for_mlflow(pipeline: Any, folder: Path) -> Path:
    """The same pipeline as a model of MLflow's, which answers with probabilities."""
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    import mlflow.sklearn

    mlflow.sklearn.save_model(
        pipeline,
        folder / MLFLOW_MODEL,
        serialization_format="cloudpickle",
        pip_requirements=REQUIREMENTS,
        pyfunc_predict_fn="predict_proba",
    )
    return folder / MLFLOW_MODEL


def mlflow_bodies(bundle: Path, rows: Sequence[Mapping[str, Any]]) -> list[bytes]:
    """One row each, in the form that `/invocations` takes."""
    manifest = decode_manifest((bundle / "manifest.json").read_bytes())
    encode = _encoder(manifest)
    names = [feature.name for feature in manifest.features]
    return [
        msgspec.json.encode({"dataframe_split": {"columns": names, "data": [encode(row)]}})
        for row in rows
    ]


def _manifest() -> Manifest:
    return decode_manifest((bundle_folder() / "manifest.json").read_bytes())


def _encoder(manifest: Manifest) -> Any:
    codes: dict[str, dict[Any, int]] = {
        feature.name: {category: code for code, category in enumerate(feature.categories)}
        for feature in manifest.features
        if feature.kind == "categorical"
    }

    def encode(values: Mapping[str, Any]) -> list[Any]:
        return [
            codes[feature.name].get(values.get(feature.name), -1)
            if feature.name in codes
            else values.get(feature.name)
            for feature in manifest.features
        ]

    return encode
