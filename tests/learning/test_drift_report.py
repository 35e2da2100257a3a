"""Evidently's document is drawn of whatever can be drawn, and of nothing else."""

import re
from typing import Any

import numpy as np
import pytest

from learning.drift_report import (
    MOST_COLUMNS,
    MOST_ROWS,
    Answers,
    answers_frame,
    frame_of,
    render_report,
)
from learning.problem import Feature

AGE = Feature(name="age_of_customer")
COUNT = Feature(name="support_calls")
PLAN = Feature(name="contract_plan", kind="categorical", categories=("basic", "plus"))
GONE = Feature(name="gone_column")


def matrix(*columns: Any) -> np.ndarray:
    return np.column_stack(columns).astype(np.float32)


def window(seed: int, n: int = 120) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return matrix(rng.normal(40, 9, n), rng.poisson(1, n), rng.integers(-1, 2, n))


def render(left: np.ndarray, right: np.ndarray, *features: Feature) -> str | None:
    return render_report(left, right, features, alpha=0.05, share=0.1)


def test_codes_read_as_categories_and_all_others_as_other() -> None:
    frame = frame_of(matrix([np.inf, np.nan, 1, 2, 3], [0, 1, -1, 7, np.nan]), (AGE, PLAN))

    assert frame["contract_plan"].tolist() == ["basic", "plus", *["(other)"] * 3]
    np.testing.assert_array_equal(frame["age_of_customer"], [np.nan, np.nan, 1, 2, 3])


def test_a_category_without_known_values_reads_as_other() -> None:
    empty = Feature(name="empty", kind="categorical")

    assert frame_of(matrix([-1, 0]), (empty,))["empty"].tolist() == ["(other)", "(other)"]


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (np.full(100, np.nan), np.full(100, np.nan)),
        (np.full(100, np.nan), np.arange(100)),
        (np.arange(100), np.full(100, np.inf)),
        (np.ones(100), np.ones(100)),
        (np.arange(100), np.arange(1)),
        (np.arange(0), np.arange(0)),
    ],
)
def test_without_a_column_that_can_be_drawn_there_is_no_report(
    left: np.ndarray, right: np.ndarray
) -> None:
    assert render(matrix(left), matrix(right), AGE) is None


def test_without_features_there_is_no_report() -> None:
    assert render(np.empty((9, 0), np.float32), np.empty((9, 0), np.float32)) is None


@pytest.mark.slow  # the first report of a process imports Evidently
def test_mixed_columns_are_drawn_and_those_that_cannot_be_are_left_out() -> None:
    missing = np.full(120, np.nan)

    html = render(matrix(window(0), missing), matrix(window(1), missing), AGE, COUNT, PLAN, GONE)

    assert html is not None
    assert re.search(r"<html|<!DOCTYPE", html, re.I)
    assert all(feature.name in html for feature in (AGE, COUNT, PLAN))
    assert "gone_column" not in html


@pytest.mark.slow
def test_windows_of_very_different_sizes_and_disjoint_categories_are_drawn() -> None:
    left = matrix(np.arange(3 * MOST_ROWS) % 97, np.zeros(3 * MOST_ROWS))
    right = matrix(np.linspace(1e6, 3e38, 30), np.ones(30))

    html = render(left, right, AGE, PLAN)

    assert html is not None
    assert "contract_plan" in html


@pytest.mark.slow
def test_of_many_columns_the_first_ones_are_drawn() -> None:
    features = [Feature(name=f"column_{i:03}") for i in range(MOST_COLUMNS + 2)]
    x = np.random.default_rng(0).normal(size=(60, len(features))).astype(np.float32)

    html = render_report(x, x[::-1], features, alpha=0.05, share=0.1)

    assert html is not None
    assert f"column_{MOST_COLUMNS - 1:03}" in html
    assert f"column_{MOST_COLUMNS:03}" not in html


def answers(task: Any, classes: tuple[str, ...], y: Any, output: Any) -> Answers:
    return Answers(task, classes, np.asarray(y, float), np.asarray(output, float), 0.5)


def test_answers_are_read_as_labels_and_those_without_a_number_are_left_out() -> None:
    binary = answers("binary", ("no", "yes"), [0, 1, 1], [[0.4, 0.6], [0.5, 0.5], [np.nan, 1]])
    frame = answers_frame(binary)
    assert frame.to_dict("list") == {
        "actual": ["no", "yes"],
        "predicted": ["yes", "yes"],
        "probability": [0.6, 0.5],
    }
    numbers = answers_frame(answers("regression", (), [1, np.inf], [[1.5], [2]]))
    assert numbers.to_dict("list") == {"actual": [1.0], "predicted": [1.5]}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("task", "classes"),
    [("binary", ("no", "yes")), ("multiclass", ("a", "b", "c")), ("regression", ())],
)
def test_answers_of_every_task_are_drawn_beside_the_data(task: Any, classes: Any) -> None:
    rng = np.random.default_rng(0)
    width = len(classes) or 1
    y = rng.integers(0, max(width, 2), 200)
    output = rng.dirichlet(np.ones(width), 200) if classes else rng.normal(size=(200, 1))
    served = answers(task, classes, y, output)

    html = render_report(window(0), window(1), (AGE, COUNT, PLAN), 0.05, 0.1, answers=served)

    assert html is not None
    assert html.count("srcdoc=") == 2


@pytest.mark.slow
def test_answers_that_say_too_little_leave_the_data_alone() -> None:
    for served in (
        answers("binary", ("no", "yes"), np.zeros(50), np.full((50, 2), 0.5)),
        answers("binary", ("no", "yes"), [0, 1], np.full((2, 2), 0.5)),
        answers("regression", (), np.full(50, np.nan), np.ones((50, 1))),
    ):
        html = render_report(window(0), window(1), (AGE,), 0.05, 0.1, answers=served)
        assert html is not None
        assert html.count("srcdoc=") == 0
