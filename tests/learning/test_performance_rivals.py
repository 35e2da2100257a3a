"""No change, the frozen first model and a dummy: what they answer, and how much is gained."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as sk

from learning.performance_rivals import Rival, as_output, compare, last_arrived

START = np.datetime64("2026-01-01T00:00:00", "us")


def at(*minutes: int) -> np.ndarray:
    return START + np.array(minutes, dtype="timedelta64[m]").astype("timedelta64[us]")


def test_the_last_label_is_the_newest_that_had_arrived_before_the_question() -> None:
    found = last_arrived(at(0, 5, 6, 7, 99), at(5, 6, 6), np.array([1.0, 0, 1]))

    # At 5 and at 6 the labels of that very minute had not arrived yet.
    np.testing.assert_array_equal(found, [np.nan, np.nan, 1, 1, 1])


def test_without_any_label_nothing_is_known() -> None:
    assert np.isnan(last_arrived(at(1, 2), at(), np.array([]))).all()


def test_a_label_is_a_certain_answer() -> None:
    np.testing.assert_array_equal(as_output(np.array([1.0, np.nan]), 2), [[0, 1], [np.nan, np.nan]])
    np.testing.assert_array_equal(as_output(np.array([2.5]), 0), [[2.5]])


def test_each_rival_is_judged_on_the_rows_for_which_it_has_an_answer() -> None:
    rng = np.random.default_rng(0)
    y = (rng.random(200) < 0.4).astype(float)
    ours, theirs = (np.clip(skill * y + rng.random(200) * 0.5, 0, 1) for skill in (0.4, 0.1))
    output = np.column_stack([1 - theirs, theirs])
    output[:50] = np.nan
    served = Rival("served", np.column_stack([1 - ours, ours]), 0.5)

    (found,) = compare("binary", "roc_auc", y, served, [Rival("frozen", output)], 0.95)

    value = sk.roc_auc_score(y[50:], theirs[50:])
    assert (found.name, found.n_rows, found.value) == ("frozen", 150, pytest.approx(value))
    assert found.gain == pytest.approx(sk.roc_auc_score(y[50:], ours[50:]) - value)
    assert found.gain_low is not None
    assert found.gain_high is not None
    assert 0 < found.gain_low < found.gain < found.gain_high


def test_of_an_error_less_is_a_gain_and_each_side_has_its_own_threshold() -> None:
    y = np.array([1.0, 2.0])
    served = Rival("served", np.array([[1.5], [2.5]]))
    (error,) = compare("regression", "mae", y, served, [Rival("dummy", np.zeros((2, 1)))], 0.9)
    assert (error.value, error.gain) == (1.5, 1.0)
    y = np.tile([0.0, 1.0], 20)
    low = np.column_stack([0.9 - 0.2 * y, 0.1 + 0.2 * y])
    sides = Rival("served", low, 0.2), Rival("frozen", low, 0.5)
    (right,) = compare("binary", "accuracy", y, sides[0], sides[1:], 0.9)
    assert (right.value, right.gain) == (0.5, 0.5)


def test_a_rival_without_answers_or_an_undefined_metric_is_no_comparison() -> None:
    served = Rival("served", np.full((3, 2), 0.5))
    rivals = [Rival("no_change", np.full((3, 2), np.nan)), Rival("dummy", np.full((3, 2), 0.5))]

    silent, one_class = compare("binary", "roc_auc", np.zeros(3), served, rivals, 0.95)

    assert (silent.n_rows, silent.value, silent.gain) == (0, None, None)
    assert (one_class.n_rows, one_class.value, one_class.gain_low) == (3, None, None)
