"""The last change of a stream of errors: where it is, and when there is none."""

from __future__ import annotations

import numpy as np
import pytest

from learning.change import changed_at, first_change, last_rise
from learning.rows import Rows


def test_a_rise_is_found_where_it_is() -> None:
    assert last_rise(np.repeat([0.0, 1.0], [100, 50])) == 100
    errors = (np.random.default_rng(0).random(600) < np.repeat([0.1, 0.6], [400, 200])).astype(
        float
    )
    found = last_rise(errors)
    assert found is not None
    assert abs(found - 400) <= 20


def test_of_several_rises_the_last_counts_and_a_fall_is_none() -> None:
    assert last_rise(np.repeat([0.0, 0.5, 1.0], [100, 100, 60])) == 200
    assert last_rise(np.repeat([1.0, 0.0], [100, 50])) is None
    assert last_rise(np.repeat([0.0, 1.0, 0.0], [200, 60, 200])) is None


@pytest.mark.parametrize("n", [0, 1, 59])
def test_too_few_errors_say_nothing(n: int) -> None:
    assert last_rise(np.repeat([0.0, 1.0], [n // 2, n - n // 2])) is None


def test_free_errors_seldom_look_like_a_change() -> None:
    drawn = np.random.default_rng(1).random((300, 500)) < 0.2
    assert sum(last_rise(row.astype(float)) is not None for row in drawn) <= 2


def test_the_change_is_told_as_the_time_of_its_row() -> None:
    n = 200
    times = np.arange(n).astype("datetime64[us]")
    y = np.zeros(n)
    rows = Rows(np.zeros((n, 1), dtype=np.float32), y, times)
    p = np.repeat([0.1, 0.9], [120, 80])
    output = np.column_stack([1 - p, p])
    assert changed_at("binary", rows, output) == np.datetime64(120, "us")
    assert changed_at("binary", rows, np.full((n, 2), 0.5)) is None


def test_the_first_of_several_models_that_saw_a_change_tells_when() -> None:
    early, late = np.datetime64("2026-01-01"), np.datetime64("2026-02-01")

    assert first_change([None, late, early]) == late
    assert first_change([None, None]) is None
    assert first_change([]) is None
