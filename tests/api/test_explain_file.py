from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from api.explain_file import read_explainer
from api.explain_parts import ExplanationError
from learning.explain import explanation_file
from tests.api.servers import CHECKOUT
from tests.api.test_app import HEAVY
from tests.learning.explained import N_FEATURES, fitted_of, rows_of


def damaged(**changes: Any) -> bytes:
    content = explanation_file(fitted_of("boosting", "binary"), rows_of("binary").x)
    assert content is not None
    with np.load(io.BytesIO(content)) as file:
        arrays = {**file, **changes}
    buffer = io.BytesIO()
    np.savez(buffer, **{name: array for name, array in arrays.items() if array is not None})
    return buffer.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no zip",
        damaged()[:-50],
        damaged(format=np.int64(2)),
        damaged(kind=np.str_("other")),
        damaged(cover=None),
        damaged(levels=np.array([[1]])),
        damaged(mixture=np.array([[np.nan]])),
        damaged(fill=np.zeros(3)),
        damaged(outputs=np.array([object()])),
        damaged(baseline=np.zeros(2)),
    ],
)
def test_a_damaged_file_is_refused_and_never_unpickled(content: bytes) -> None:
    with pytest.raises(ExplanationError):
        read_explainer(content, N_FEATURES)


def test_a_file_of_another_number_of_features_is_refused() -> None:
    with pytest.raises(ExplanationError, match="number of features"):
        read_explainer(damaged(), N_FEATURES + 1)


def test_explaining_imports_nothing_heavy(tmp_path: Path) -> None:
    path = tmp_path / "explanation.npz"
    path.write_bytes(damaged())
    code = (
        "import sys, numpy, api.app; from pathlib import Path;"
        "from api.explain_file import read_explainer;"
        f"made = read_explainer(Path({str(path)!r}).read_bytes(), {N_FEATURES});"
        f"made.attribute(numpy.zeros({N_FEATURES}, dtype=numpy.float32), 0);"
        f"print([m for m in {(*HEAVY, 'shap', 'numba')!r} if m in sys.modules])"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], cwd=CHECKOUT, capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == "[]"
