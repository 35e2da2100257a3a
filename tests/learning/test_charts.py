"""Charts are real PNG files for every task, also where there is little to draw."""

import struct
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from learning.charts import MOST_BARS, _confusion, _importance, evaluation_charts, metric_chart

RNG = np.random.default_rng(0)
IMPORTANCE = {"age": 0.2, "plan": -0.01}


def charts(task: Any, classes: tuple[str, ...], y: np.ndarray, **changes: Any) -> dict[str, bytes]:
    width = len(classes) or 1
    output = RNG.dirichlet(np.ones(width), len(y)) if classes else RNG.normal(size=(len(y), 1))
    return evaluation_charts(task, classes, y, output, 0.5, changes.get("importance", IMPORTANCE))


def size_of(png: bytes) -> tuple[int, int]:
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", png[16:24])
    return width, height


@pytest.mark.parametrize(
    ("task", "classes", "names"),
    [
        (
            "binary",
            ("no", "yes"),
            {"confusion_matrix.png", "importance.png", "precision_recall.png", "roc.png"},
        ),
        ("multiclass", ("a", "b", "c"), {"confusion_matrix.png", "importance.png"}),
        ("regression", (), {"importance.png", "predicted_vs_actual.png"}),
    ],
)
def test_each_task_has_its_charts(task: str, classes: tuple[str, ...], names: set[str]) -> None:
    y = RNG.integers(0, len(classes) or 9, 60).astype(float)

    found = charts(task, classes, y)

    assert set(found) == names
    assert {size_of(png) for png in found.values()} == {(500, 400)}


def test_with_one_class_the_curves_are_left_out() -> None:
    assert set(charts("binary", ("no", "yes"), np.zeros(20))) == {
        "confusion_matrix.png",
        "importance.png",
    }


def test_a_class_that_is_absent_keeps_its_place_in_the_confusion_matrix() -> None:
    figure = _confusion(("a", "b", "c"), np.array([0.0, 0, 2]), np.array([0, 2, 2]))

    counts = [text.get_text() for text in figure.axes[0].texts]
    assert counts == ["1", "0", "1", "0", "0", "0", "0", "0", "1"]


def test_only_the_most_important_features_are_drawn_the_first_on_top() -> None:
    importance = {f"f{i}": float(i) for i in range(MOST_BARS + 10)}

    bars = [bar.get_width() for bar in _importance(importance).axes[0].patches]

    assert bars == [float(i) for i in range(10, MOST_BARS + 10)]


@pytest.mark.parametrize("name", ["price_$", "$100_$", r"$\nosuch$", "a$^$b", "50%", "a_b^c", ""])
def test_names_that_look_like_formulas_are_drawn_as_they_are(name: str) -> None:
    found = charts("binary", (name, "yes"), np.tile([0.0, 1.0], 5), importance={name: 0.1})

    assert len(found) == 4


@pytest.mark.parametrize("importance", [{}, {"a": 0.0}, {"a": float("nan"), "b": 1.0}])
def test_little_to_draw_is_drawn(importance: dict[str, float]) -> None:
    found = charts("regression", (), np.array([1.0]), importance=importance)

    assert all(size_of(png) for png in found.values())


def test_a_metric_over_time_is_drawn_with_gaps_and_without_any_value_refused() -> None:
    times = [datetime(2026, 3, day, tzinfo=UTC) for day in (1, 2, 3)]
    gap = float("nan")

    png = metric_chart("price_$", times, [0.1, gap, 0.3], ([0.0, gap, 0.2], [0.2, gap, 0.4]), 0.25)

    assert size_of(png) == (600, 260)
    with pytest.raises(ValueError, match="no finite value"):
        metric_chart("auc", times, [gap] * 3, None, None)
