"""The graph answers as the fitted model does, on every kind and task and on split thresholds."""

from functools import cache
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from learning.lightgbm_trees import booster_trees
from learning.models import GRIDS, Fitted, fit
from learning.onnx_export import Parity, check_parity, export, parity_rows, run_graph
from learning.problem import Feature
from learning.rows import Rows, Schema
from tests.factories_bundles import array, graph_bytes

FEATURES = (
    Feature(name="plan", kind="categorical", categories=("x", "y", "z")),
    Feature(name="normal"),
    Feature(name="skewed"),
    Feature(name="count"),
    Feature(name="offset"),
    Feature(name="empty", kind="categorical"),
)
CLASSES = {"binary": "ab", "multiclass": "abc", "absent": "abcd", "regression": ""}
N_ROWS = 10_000


def draw(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Features with gaps and unseen categories (-1), and a score that depends on them."""
    rng = np.random.default_rng(seed)
    plan = rng.integers(-1, 3, n)
    numbers = np.column_stack(
        [rng.normal(size=n), rng.exponential(1e3, n), rng.poisson(3, n), 1e6 + rng.normal(size=n)]
    )
    score = numbers[:, 0] + plan - 1 + numbers[:, 1] / 1e3 + 0.5 * rng.normal(size=n)
    numbers[rng.random(numbers.shape) < 0.1] = np.nan
    return np.column_stack([plan, numbers, np.full(n, -1)]).astype(np.float32), score


@cache
def model(kind: str, case: str) -> tuple[Fitted, bytes]:
    x, score = draw(800, 0)
    task: Any = "multiclass" if case == "absent" else case
    y = score
    if case != "regression":
        y = np.digitize(score, [0.5] if case == "binary" else [0, 1]).astype(float)
    if case == "absent":
        y = np.where(y == 1, 3.0, y)  # class b stands in no training row
    rows = Rows(x, y, np.arange(800).astype("datetime64[us]"))
    parameters = {**GRIDS[kind][0], **({"max_iter": 40} if kind == "boosting" else {})}
    parameters |= {"n_estimators": 40} if kind == "lightgbm" else {}
    fitted = fit(kind, parameters, rows, Schema("y", task, FEATURES, tuple(CLASSES[case])))
    return fitted, export(fitted, len(FEATURES))


def thresholds(fitted: Fitted) -> list[tuple[int, float]]:
    """(column, threshold) of every split."""
    if fitted.kind == "boosting":
        trees = [tree.nodes for trees in fitted.pipeline._predictors for tree in trees]
        splits = np.concatenate([nodes[nodes["is_leaf"] == 0] for nodes in trees])
        columns, values = splits["feature_idx"], splits["num_threshold"]
    elif fitted.kind == "forest":
        trees = [estimator.tree_ for estimator in fitted.pipeline[-1].estimators_]
        inner = np.concatenate([tree.feature for tree in trees])
        values = np.concatenate([tree.threshold for tree in trees])[inner >= 0]
        columns = np.array([1, 2, 3, 4, 0, 5])[inner[inner >= 0]]  # numbers come first inside
    elif fitted.kind == "lightgbm":
        trees = [tree for raw in booster_trees(fitted.pipeline) for tree in raw]
        columns = np.concatenate([tree.feature for tree in trees])
        values = np.concatenate([tree.threshold for tree in trees])
    else:
        return []
    return list(zip(columns.tolist(), values.tolist(), strict=True))


def edge_rows(fitted: Fitted, n: int) -> np.ndarray:
    """Rows that hold values exactly on thresholds and one float32 step beside them."""
    x = draw(n, 1)[0]
    rng = np.random.default_rng(2)
    for column, threshold in thresholds(fitted):
        near = np.float32(threshold)
        steps = [np.nextafter(near, np.float32(end)) for end in (-np.inf, np.inf)]
        x[rng.integers(0, n, 3), column] = [near, *steps]
    return x


@pytest.mark.parametrize("case", CLASSES)
@pytest.mark.parametrize("kind", GRIDS)
def test_graph_and_model_agree_on_ten_thousand_rows(kind: str, case: str) -> None:
    fitted, graph = model(kind, case)
    x = edge_rows(fitted, N_ROWS)

    parity = check_parity(fitted, graph, x, 1e-5)

    assert parity.holds, parity
    assert parity.n_rows == N_ROWS
    answers = run_graph(graph, x)
    if case == "absent":
        assert (answers[:, 1] == 0).all()
    assert len(np.unique(answers[:, -1])) > 50


@pytest.mark.parametrize("case", CLASSES)
@pytest.mark.parametrize("kind", GRIDS)
def test_a_graph_has_one_input_and_one_output_of_the_stated_shapes(kind: str, case: str) -> None:
    graph = onnx.load_from_string(model(kind, case)[1]).graph

    shapes = [
        (
            value.name,
            value.type.tensor_type.elem_type,
            value.type.tensor_type.shape.dim[1].dim_value,
        )
        for value in (*graph.input, *graph.output)
    ]
    width = len(CLASSES[case]) or 1
    assert shapes == [("input", TensorProto.FLOAT, 6), ("output", TensorProto.FLOAT, width)]
    assert all(not v.type.tensor_type.shape.dim[0].dim_value for v in (*graph.input, *graph.output))


@pytest.mark.parametrize("case", ["absent", "regression"])
@pytest.mark.parametrize("kind", GRIDS)
def test_exporting_twice_gives_the_same_bytes(kind: str, case: str) -> None:
    fitted, graph = model(kind, case)

    assert export(fitted, len(FEATURES)) == graph


def test_one_row_is_answered_as_among_many() -> None:
    fitted, graph = model("forest", "binary")
    x = edge_rows(fitted, 20)

    alone = np.vstack([run_graph(graph, x[i : i + 1]) for i in range(20)])

    np.testing.assert_allclose(alone, run_graph(graph, x), atol=1e-6)


def constant_graph(value: float, width: int) -> bytes:
    """A graph that answers ``value`` everywhere; NaN for ``value`` -1 (its square root)."""
    nodes = [
        helper.make_node("IsNaN", ["input"], ["missing"]),
        helper.make_node("Where", ["missing", "zero", "input"], ["filled"]),
        helper.make_node("MatMul", ["filled", "zeros"], ["nothing"]),
        helper.make_node("Add", ["nothing", "value"], ["sum"]),
        helper.make_node("Sqrt", ["sum"], ["output"]),
    ]
    constants = [array("zero", 0), array("zeros", np.zeros((6, width))), array("value", value)]
    return graph_bytes(nodes, constants, 6, width)


def test_a_graph_that_answers_no_number_fails_parity() -> None:
    fitted, _ = model("linear", "binary")

    parity = check_parity(fitted, constant_graph(-1, 2), draw(50, 3)[0], 1e9)

    assert parity == Parity(50, float("inf"), 1e9)
    assert not parity.holds


def test_a_graph_with_other_answers_fails_parity_by_the_worst_row() -> None:
    fitted, _ = model("linear", "binary")
    x = draw(50, 3)[0]

    parity = check_parity(fitted, constant_graph(0.25, 2), x, 1e-4)

    assert parity.largest_difference == pytest.approx(np.abs(fitted.output(x) - 0.5).max())
    assert not parity.holds


def test_a_graph_with_another_number_of_classes_fails_parity() -> None:
    fitted, _ = model("linear", "binary")

    assert not check_parity(fitted, constant_graph(0.25, 1), draw(50, 3)[0], 10).holds


def test_differences_of_values_are_relative_to_the_largest_one() -> None:
    fitted, _ = model("linear", "regression")
    x = draw(50, 3)[0]
    values = fitted.output(x)

    parity = check_parity(fitted, constant_graph(0, 1), x, 1e-4)

    assert parity.largest_difference == pytest.approx(1)
    assert np.abs(values).max() != pytest.approx(1)


def test_no_rows_prove_nothing() -> None:
    fitted, graph = model("linear", "binary")

    assert not check_parity(fitted, graph, np.empty((0, 6), np.float32), 1e9).holds


@pytest.mark.parametrize(("n", "expected"), [(0, 0), (10, 1_000), (990, 1_090), (5_000, 5_100)])
def test_there_are_enough_rows_to_compare_on_and_the_real_ones_among_them(
    n: int, expected: int
) -> None:
    x = draw(n, 4)[0]

    rows = parity_rows(x, 1_000)

    assert (rows.dtype, len(rows)) == (np.float32, expected)
    np.testing.assert_array_equal(rows[:n], x)
    np.testing.assert_array_equal(rows, parity_rows(x, 1_000))


def test_rows_to_compare_on_lie_half_way_between_known_values_and_codes_stay_codes() -> None:
    x = np.column_stack([np.repeat([0.5, 1.0], 50), np.arange(100) % 3]).astype(np.float32)

    moved = parity_rows(x, 1_000)[100:]

    assert set(moved[:, 0].tolist()) == {0.5, 0.75, 1.0}
    assert set(moved[:, 1].tolist()) == {0, 1, 2}
