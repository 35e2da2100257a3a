"""A linear model's inputs are what scikit-learn's transformers would make of the same rows."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import MinMaxScaler, OneHotEncoder, StandardScaler

from api.explain_linear import LinearExplainer
from learning.explain_linear import SCALING, linear_parts
from learning.linear_inputs import LinearInputs
from learning.models import fit
from learning.onnx_export import check_parity, export
from learning.problem import Feature
from learning.rows import Matrix, Rows, Schema

NUMERIC, CATEGORICAL, N_CATEGORIES = (0, 2), (1, 3), (3, 2)


def rows_of(n: int, seed: int = 0) -> Matrix:
    """Two numbers with gaps beside two categories, unknown ones among them."""
    rng = np.random.default_rng(seed)
    numbers = rng.normal([5, -300], [2, 40], size=(n, 2))
    numbers[rng.random((n, 2)) < 0.2] = np.nan
    first, second = rng.integers(-1, 3, n), rng.integers(-1, 2, n)
    return np.column_stack([numbers[:, 0], first, numbers[:, 1], second]).astype(np.float32)


def library(x: Matrix) -> ColumnTransformer:
    """The same steps of scikit-learn, in float64, fitted."""
    numbers = Pipeline(
        [
            ("impute", SimpleImputer(strategy="median", keep_empty_features=True)),
            ("clip", MinMaxScaler(clip=True)),
            ("scale", StandardScaler()),
        ]
    )
    codes = [np.arange(n, dtype=np.float64) for n in N_CATEGORIES]
    encoder = OneHotEncoder(categories=codes, handle_unknown="ignore", sparse_output=False)
    steps = [("numbers", numbers, list(NUMERIC)), ("categories", encoder, list(CATEGORICAL))]
    return ColumnTransformer(steps).fit(x.astype(np.float64))


def ours(x: Matrix) -> LinearInputs:
    return LinearInputs(CATEGORICAL, N_CATEGORIES).fit(x)


@given(st.integers(0, 1_000), st.integers(30, 200))
def test_columns_are_those_of_scikit_learns_transformers(seed: int, n: int) -> None:
    x, other = rows_of(n, seed), rows_of(100, seed + 1) * np.float32(3)

    found, expected = ours(x), library(x)

    for rows in (x, other):  # within and far outside of what was trained on
        columns = found.transform(rows)
        assert columns.dtype == np.float32
        assert_array_equal(columns[:, list(CATEGORICAL)], 0)
        used = np.delete(columns, CATEGORICAL, axis=1)
        assert_allclose(used, expected.transform(rows.astype(np.float64)), atol=2e-5)


def test_columns_by_hand() -> None:
    x = np.array([[1, 0], [3, -1], [np.nan, 1], [5, 1]], dtype=np.float32)

    inputs = LinearInputs((1,), (2,)).fit(x)
    columns = inputs.transform(np.array([[99, 1], [np.nan, 0], [-99, -1]], dtype=np.float32))

    spread = np.sqrt(2)  # of 1, 3, 3 and 5
    assert_allclose(
        columns, [[2 / spread, 0, 0, 1], [0, 0, 1, 0], [-2 / spread, 0, 0, 0]], rtol=1e-6
    )
    assert inputs.features_ == [0, 1, 1, 1]


def test_numbers_without_any_value_or_with_one_only_move_nothing() -> None:
    x = np.array([[np.nan, 7.1], [np.nan, 7.1], [np.nan, np.nan]], dtype=np.float32)

    inputs = LinearInputs().fit(x)

    assert_array_equal(inputs.transform(x), np.zeros((3, 2)))
    assert_array_equal(inputs.transform(np.full((1, 2), 1e9, dtype=np.float32)), np.zeros((1, 2)))


@pytest.mark.parametrize("offset", [0.0, 1.7e9])
def test_the_graph_and_the_explanation_prepare_rows_alike(offset: float) -> None:
    """Times in seconds, as an example, leave float32 few digits beside what they differ by."""
    x = rows_of(500)
    x[:, 0] = x[:, 0] * np.float32(1e4) + np.float32(offset)
    y = (np.nan_to_num(x[:, 2]) > -300).astype(float)
    features = (
        Feature(name="a"),
        Feature(name="b", kind="categorical", categories=("x", "y", "z")),
        Feature(name="c"),
        Feature(name="d", kind="categorical", categories=("u", "v")),
    )
    schema = Schema("t", "binary", features, ("no", "yes"))
    fitted = fit("linear", {"strength": 1.0}, Rows(x, y, np.arange(500).astype("M8[us]")), schema)

    parity = check_parity(fitted, export(fitted, 4), np.vstack([x, x * np.float32(1.5)]), 1e-5)
    parts = linear_parts(fitted, x)
    scores = [LinearExplainer(parts, 4).predict(row)[0] for row in x]

    assert parity.holds, parity
    assert_allclose(1 / (1 + np.exp(-np.array(scores))), fitted.output(x)[:, 1], atol=2e-4)
    assert set(SCALING) < set(parts)
