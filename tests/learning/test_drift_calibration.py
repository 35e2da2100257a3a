"""Rows that depend on each other count for fewer, and false alarms stay as rare as promised."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats
from scipy.signal import lfilter

from learning.drift import check_drift
from learning.drift_calibration import calibrate
from learning.drift_paths import find_paths
from learning.drift_reference import from_arrays, summarise, summarise_stream, to_arrays
from learning.problem import DriftRules, Feature

RULES = DriftRules()


def features(n: int) -> list[Feature]:
    return [Feature(name=f"n{i}") for i in range(n)]


def autoregressive(rng: np.random.Generator, n: int, columns: int, memory: float) -> np.ndarray:
    noise = rng.normal(size=(n + 300, columns)) * np.sqrt(1 - memory**2)
    rows: np.ndarray = lfilter([1], [1, -memory], noise, axis=0)[300:].astype(np.float32)
    return rows


def test_free_rows_are_not_inflated() -> None:
    rng = np.random.default_rng(0)

    found = calibrate(rng.normal(size=(8_000, 10)).astype(np.float32), features(10), RULES)

    assert found is not None
    assert found.inflation(1_000).max() < 1.8
    assert (found.raised, found.n_alarms) == (1.0, 0)


def test_repeated_rows_are_worth_one_each() -> None:
    # Every row 16 times: blocks of 32 and more vary as if they had a sixteenth of the rows.
    rng = np.random.default_rng(1)
    rows = np.repeat(rng.normal(size=(2_000, 3)), 16, axis=0)
    codes = np.repeat(rng.integers(0, 3, 2_000), 16)
    category = Feature(name="c", kind="categorical", categories=("a", "b", "c"))
    stream = np.column_stack([rows, codes]).astype(np.float32)
    stream[:, 2] = np.where(np.repeat(rng.random(2_000) < 0.2, 16), np.nan, stream[:, 2])

    found = calibrate(stream, [*features(3), category], RULES)

    assert found is not None
    assert found.inflation(64) == pytest.approx(16, rel=0.25)
    assert found.inflation(64, of_missing=True)[2] == pytest.approx(16, rel=0.25)
    assert found.inflation(64, of_missing=True)[0] == 1


def test_inflation_never_falls_with_the_rows_and_goes_on_beyond_what_was_seen() -> None:
    rng = np.random.default_rng(2)
    walk = np.cumsum(rng.normal(size=(4_000, 1)), axis=0).astype(np.float32)

    found = calibrate(walk, features(1), RULES)

    assert found is not None
    sizes = [1, 32, 50, 64, 500, 512, 5_000, 100_000]
    inflation = [float(found.inflation(size)[0]) for size in sizes]
    assert inflation == sorted(inflation)
    # A random walk never forgets: more rows say nothing more.
    assert inflation[-1] > 10 * inflation[-3]


def test_too_few_rows_cannot_be_calibrated() -> None:
    assert calibrate(np.zeros((255, 1), np.float32), features(1), RULES) is None
    assert calibrate(np.zeros((500, 0), np.float32), [], RULES) is None


def test_a_window_worth_few_free_rows_says_so() -> None:
    rng = np.random.default_rng(3)
    stream = autoregressive(rng, 5_000, 2, 0.98)
    kept = summarise_stream(stream, stream, features(2), RULES)

    (feature, _) = check_drift(kept, stream[:60], features(2), RULES).features

    assert feature.not_testable is not None
    assert feature.not_testable.startswith("its 60 rows depend on each other and say no more than")


@pytest.mark.parametrize("n_columns", [5, 30])
def test_dependent_streams_keep_quiet_where_free_rows_would_cry_wolf(n_columns: int) -> None:
    rng = np.random.default_rng(n_columns)
    alarms = uncalibrated = 0
    for _ in range(20):
        stream = autoregressive(rng, 5_000, n_columns, 0.9)
        kept = summarise_stream(stream, stream, features(n_columns), RULES)
        plain = summarise(stream, features(n_columns))
        for _ in range(5):
            current = autoregressive(rng, 500, n_columns, 0.9)
            alarms += check_drift(kept, current, features(n_columns), RULES).is_drifted
            uncalibrated += check_drift(plain, current, features(n_columns), RULES).is_drifted

    assert alarms <= 1  # of 100
    assert uncalibrated > 60


def test_a_season_in_the_reference_is_no_drift() -> None:
    rng = np.random.default_rng(5)
    hours = np.arange(24 * 200)
    day = np.sin(hours * 2 * np.pi / 24) + rng.normal(size=len(hours)) * 0.3
    week = (hours // 24 % 7 >= 5).astype(float)
    stream = np.column_stack([day, week]).astype(np.float32)
    kept = summarise_stream(stream, stream, features(2), RULES)

    starts = rng.integers(0, len(hours) - 100, 100)
    alarms = [check_drift(kept, stream[s : s + 60], features(2), RULES).is_drifted for s in starts]

    assert sum(alarms) <= 1


def test_calibration_depends_on_the_rows_alone() -> None:
    stream = autoregressive(np.random.default_rng(6), 2_000, 3, 0.7)

    first, second = (calibrate(stream, features(3), RULES) for _ in range(2))

    assert first is not None
    assert second is not None
    np.testing.assert_array_equal(first.values, second.values)


def test_paths_of_free_rows_give_kolmogorovs_law_and_stiff_ones_that_of_gauss() -> None:
    rng = np.random.default_rng(4)
    free = rng.random((4_000, 512, 1))  # blocks of 512 free rows
    counts = np.apply_along_axis(np.bincount, 1, (free[:, :, 0] * 32).astype(int), minlength=32)
    whole = np.tile(np.arange(-16, 16), (4_000, 1)) * rng.normal(size=(4_000, 1)) + 1_000
    blocks = np.stack([counts, whole.round()], axis=1).astype(np.int32)
    y = np.array([1.0, 1.3, 1.6, 1.95])

    paths = find_paths([blocks], np.array([True, True]))

    law = stats.kstwobign.sf(y)
    found = paths.p_value(np.stack([y, y], axis=1), np.stack([law, law], axis=1))
    assert found[:, 0] == pytest.approx(law, rel=0.05)
    assert found[:, 1] == pytest.approx(2 * stats.norm.sf(2 * y), rel=0.15)
    unknown = paths.at(np.array([1, -1])).p_value(np.ones(2), np.ones(2))
    assert np.isnan(unknown).tolist() == [False, True]


def test_what_moves_as_a_whole_is_found_more_often_at_the_same_false_alarm_rate() -> None:
    rng = np.random.default_rng(8)
    reference = autoregressive(rng, 5_000, 20, 0.9)
    kept = summarise_stream(reference, reference, features(20), RULES)
    assert kept.calibration is not None
    plain = replace(kept, calibration=replace(kept.calibration, paths=None))
    shift = np.where(np.arange(20) < 6, 0.5, 0).astype(np.float32)
    calm = autoregressive(rng, 60_000, 20, 0.9).reshape(60, 1_000, 20)

    found = {
        name: [check_drift(one, rows + by, features(20), RULES).is_drifted for rows in calm]
        for name, one, by in (
            ("false", kept, 0 * shift),
            ("new", kept, shift),
            ("old", plain, shift),
        )
    }

    assert sum(found["false"]) == 0
    assert sum(found["new"]) > sum(found["old"])
    again = from_arrays(to_arrays(kept))
    assert check_drift(again, calm[0], features(20), RULES) == check_drift(
        kept, calm[0], features(20), RULES
    )
