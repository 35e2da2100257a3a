"""Reading an explanation file: arrays without pickle, checked before they are used."""

from __future__ import annotations

import io
import zipfile
import zlib

import numpy as np

from api.explain_linear import LinearExplainer
from api.explain_parts import Explainer, ExplanationError, expect
from api.explain_trees import TreeExplainer

FORMAT = 1


def read_explainer(content: bytes, n_features: int) -> Explainer:
    """The explainer that a bundle's file describes.

    Raises ExplanationError with code ``damaged`` for anything but a whole file of our format for
    a model of this many features.
    """
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as file:
            arrays = dict(file)
        expect(int(arrays["format"]) == FORMAT, "format")
        expect(int(arrays["n_features"]) == n_features, "number of features")
        kind = str(arrays["kind"])
        expect(kind in ("linear", "trees"), "kind")
        return (LinearExplainer if kind == "linear" else TreeExplainer)(arrays, n_features)
    except (
        KeyError,
        ValueError,
        TypeError,
        EOFError,
        OSError,
        zipfile.BadZipFile,
        zlib.error,
    ) as e:
        raise ExplanationError("damaged", f"the explanation file cannot be read: {e}") from e
