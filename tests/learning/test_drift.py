"""The tests against scipy, columns that no test can take, false alarms and misses."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy import stats
from scipy.spatial import distance

from learning.drift import DriftResult, check_drift
from learning.drift_ks import (
    SortedSamples,
    StoredSample,
    StoredSamples,
    ks_p_value,
    ks_statistics,
    ks_two_sample,
)
from learning.drift_tests import adjust_p_values, chi_square, jensen_shannon
from learning.problem import DriftRules, Feature

RULES = DriftRules()
NUMBER = Feature(name="n")
COLOUR = Feature(name="colour", kind="categorical", categories=("red", "green"))


def column(values: Any) -> np.ndarray:
    return np.asarray(values, dtype=np.float32).reshape(-1, 1)


def check(reference: Any, current: Any, feature: Feature = NUMBER, **rules: Any) -> DriftResult:
    return check_drift(column(reference), column(current), [feature], DriftRules(**rules))


def test_ks_of_an_empty_sample_is_undefined() -> None:
    full, empty = np.arange(3.0), np.array([])

    for pair in ((full, empty), (empty, full), (empty, empty)):
        assert np.isnan(ks_two_sample(*pair)).all()


def test_ks_of_four_values_is_worked_out_by_hand() -> None:
    # Behind 2: all of the reference, none of the current sample.
    assert ks_two_sample(np.array([1.0, 2]), np.array([3.0, 4]))[0] == 1
    # Behind 1: 1/2 against 1/4; behind 2: 1 against 1/2.
    assert ks_two_sample(np.array([1.0, 2]), np.array([4.0, 1, 2, 3]))[0] == 0.5


@pytest.mark.parametrize("sizes", [(200, 150), (5_000, 300), (31, 1_000)])
@pytest.mark.parametrize("kind", ["tied counts", "rounded", "continuous"])
def test_ks_equals_that_of_scipy_also_with_ties(sizes: tuple[int, int], kind: str) -> None:
    rng = np.random.default_rng(sizes)
    draw = {
        "tied counts": lambda n: rng.poisson(2, n).astype(float),
        "rounded": lambda n: rng.normal(size=n).round(1),
        "continuous": lambda n: rng.normal(size=n),
    }[kind]
    reference, current = draw(sizes[0]), draw(sizes[1]) + (kind == "rounded") * 0.1

    found = ks_two_sample(np.sort(reference), current)

    expected = stats.ks_2samp(reference, current, method="asymp")
    assert found[0] == pytest.approx(expected.statistic, abs=1e-12)
    assert found[1] == pytest.approx(expected.pvalue, rel=0.05, abs=1e-4)


@settings(deadline=None)
@given(st.integers(2, 9_000), st.integers(1, 900), st.integers(0, 9), st.integers(0, 2**32 - 1))
def test_ks_of_stored_samples_is_exact_whatever_ties_they_hold(
    n_reference: int, n_current: int, spread: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    sides = [
        np.where(rng.random((n, 3)) < 0.3, 0, rng.normal(size=(n, 3)) * 10**spread // 10)
        + [0, 0, 1] * rng.normal(size=(n, 1))
        for n in (n_reference, n_current)
    ]
    reference = np.sort(sides[0], axis=0).T
    stored = StoredSamples([StoredSample.of(column) for column in (*reference, np.empty(0))])

    sizes = [n_current, (n_current + 1) // 2, (n_current + 29) // 30]  # some end before others
    current = [np.sort(side[:n]) for side, n in zip(sides[1].T, sizes, strict=True)]

    found = ks_statistics(
        stored, np.array([2, 3, 0, 1]), SortedSamples.of([current[place] for place in (2, 0, 0, 1)])
    )

    expected = [
        stats.ks_2samp(*pair, method="asymp").statistic
        for pair in zip(reference, current, strict=True)
    ]
    assert found == pytest.approx(
        [expected[2], np.nan, expected[0], expected[1]], abs=1e-12, nan_ok=True
    )
    assert len(stored.sample(3).points) == 0
    np.testing.assert_array_equal(stored.sample(1).points, np.unique(sides[0][:, 1]))


def test_p_values_of_ks_are_those_of_the_exact_law() -> None:
    for rows in (100, 500, 5_000):
        gaps = np.array([0.6, 0.8, 1.0, 1.3, 1.7, 1.9]) / np.sqrt(rows)

        expected = stats.kstwo.sf(gaps, rows)

        assert ks_p_value(gaps, rows) == pytest.approx(expected, rel=0.03)
    assert ks_p_value(0.0, 50.0) == 1


@given(arrays.arrays(np.int64, (2, 6), elements=st.integers(0, 500)))
def test_jensen_shannon_equals_that_of_scipy(counts: np.ndarray) -> None:
    if counts.sum(axis=1).all():
        expected = distance.jensenshannon(counts[0], counts[1], base=2)
        assert jensen_shannon(*counts) == pytest.approx(expected, abs=1e-6)
    else:
        assert np.isnan(jensen_shannon(*counts))


def test_chi_square_equals_that_of_scipy() -> None:
    table = np.array([[50.0, 30, 20], [30, 40, 35]])

    statistic, p_value, n_categories = chi_square(*table)

    expected = stats.chi2_contingency(table, correction=False)
    assert (statistic, p_value) == pytest.approx((expected.statistic, expected.pvalue))
    assert n_categories == 3
    # Rows worth a third: a third of the statistic (Rao and Scott).
    assert chi_square(*table, 3.0)[0] == pytest.approx(statistic / 3)


def test_rare_categories_are_pooled_and_absent_ones_do_not_count() -> None:
    reference, current = np.array([400.0, 90, 6, 4, 0]), np.array([80.0, 15, 2, 3, 0])

    found = chi_square(reference, current)

    # Of 100 current rows 8 · 1/6 and 7 · 1/6 are expected in the rare ones: fewer than 5.
    assert found == pytest.approx(chi_square(np.array([400.0, 90, 10]), np.array([80.0, 15, 5])))


@pytest.mark.parametrize(
    ("reference", "current"), [([5.0, 0], [9.0, 0]), ([0.0, 0], [3.0, 4]), ([0.0], [0.0])]
)
def test_chi_square_is_undefined_with_one_category_or_an_empty_side(
    reference: list[float], current: list[float]
) -> None:
    assert np.isnan(chi_square(np.array(reference), np.array(current))[:2]).all()


@given(arrays.arrays(np.float64, st.integers(0, 30), elements=st.floats(0, 1)))
def test_corrected_p_values_equal_those_of_scipy(p_values: np.ndarray) -> None:
    found = adjust_p_values(p_values, "benjamini-hochberg")

    expected = stats.false_discovery_control(p_values) if len(p_values) else p_values
    np.testing.assert_allclose(found, expected)
    bonferroni = adjust_p_values(p_values, "bonferroni")
    np.testing.assert_allclose(bonferroni, [min(1, p * len(p_values)) for p in p_values])
    assert (bonferroni >= found - 1e-12).all()
    assert adjust_p_values(p_values, "none") is p_values


HALF_MISSING = np.where(np.arange(200) % 2, np.nan, np.arange(200))


@pytest.mark.parametrize(
    ("reference", "current", "why"),
    [
        (np.zeros(200), np.zeros(200), "constant, and the same"),
        (np.full(200, np.nan), np.full(200, np.nan), "all values are missing"),
        (np.arange(200), np.arange(19), "19 rows are fewer than 50"),
        (np.arange(0), np.arange(0), "0 rows are fewer than 50"),
    ],
)
def test_what_cannot_be_tested_says_why(reference: Any, current: Any, why: str) -> None:
    result = check(reference, current)

    assert result.features[0].not_testable == why
    assert (result.is_drifted, result.drift_share) == (False, None)
    assert result.reason.startswith("not testable: ")


@pytest.mark.parametrize(
    ("reference", "current", "feature", "words"),
    [
        (np.zeros(200), np.ones(200), NUMBER, "n (KS 1.00)"),
        (np.arange(200), np.arange(200) * 1e30, NUMBER, "n (KS 0.99)"),
        (np.arange(200), np.full(200, np.nan), NUMBER, "n (missing share 1.00)"),
        (np.full(200, np.nan), np.arange(200), NUMBER, "n (missing share 1.00)"),
        (np.arange(200), HALF_MISSING, NUMBER, "n (missing share 0.50)"),
        (np.zeros(200), np.full(200, -1), COLOUR, "colour (JS 1.00)"),
        (np.zeros(200), np.full(200, 99), COLOUR, "colour (JS 1.00)"),
    ],
)
def test_a_plain_change_is_drift_and_the_reason_holds_the_numbers(
    reference: Any, current: Any, feature: Feature, words: str
) -> None:
    result = check(reference, current, feature)

    assert result.is_drifted
    assert result.reason == f"drift_share 1.00 > 0.10: 1 of 1 features, worst {words}"


def test_one_missing_value_does_not_hide_that_the_others_moved() -> None:
    rng = np.random.default_rng(0)
    reference, current = rng.normal(size=5_000), rng.normal(0.4, 1, 100)
    current[0] = np.nan

    (feature,) = check(reference, current).features

    alone = stats.ks_2samp(reference, current[1:], method="asymp")
    assert feature.is_drifted
    assert feature.effect == feature.statistic == pytest.approx(alone.statistic)
    assert feature.p_value is not None
    assert 1.9 * alone.pvalue < feature.p_value < 3 * alone.pvalue  # it was one of two looks
    assert (feature.test, feature.missing_change) == ("KS", pytest.approx(0.01))


def test_calm_windows_say_so_with_the_share_and_the_limit() -> None:
    result = check(np.arange(200), np.arange(200), share=0.5)

    assert not result.is_drifted
    assert result.reason == "drift_share 0.00 ≤ 0.50: 0 of 1 features"


def test_a_share_on_the_limit_is_no_alarm() -> None:
    current = np.tile(np.arange(200.0), (10, 1)).T.astype(np.float32)
    features = [Feature(name=f"n{i}") for i in range(10)]
    reference = current.copy()
    current[:, 3] += 100

    result = check_drift(reference, current, features, RULES)

    assert result.drift_share == 0.1
    assert not result.is_drifted
    assert result.reason == "drift_share 0.10 ≤ 0.10: 1 of 10 features, worst n3 (KS 0.50)"


def test_a_share_above_the_limit_without_a_small_enough_p_value_is_no_alarm() -> None:
    rng = np.random.default_rng(3)
    result = check(rng.normal(size=200), rng.normal(0.4, 1, 200), family_alpha=1e-9)

    assert result.features[0].is_drifted
    assert not result.is_drifted
    assert result.reason.endswith("≥ 1e-09")


MESSY = st.one_of(st.just(np.nan), st.just(-1.0), st.sampled_from([0.0, 1.0]), st.floats(width=32))
SIDE = st.integers(0, 60).flatmap(
    lambda n: arrays.arrays(np.float32, (n, 2), elements=MESSY, fill=st.just(np.float32(0)))
)


@settings(max_examples=150, deadline=None)
@given(SIDE, SIDE)
def test_whatever_stands_in_the_columns_there_is_a_result(
    reference: np.ndarray, current: np.ndarray
) -> None:
    result = check_drift(reference, current, [NUMBER, COLOUR], DriftRules(min_rows=20))

    assert result.reason
    for feature in result.features:
        if feature.not_testable is None:
            assert feature.p_adjusted is not None
            assert 0 <= feature.p_adjusted <= 1
            assert 0 <= (feature.effect or 0) <= 1 + 1e-9


def test_windows_of_one_distribution_raise_at_most_one_false_alarm_in_a_hundred() -> None:
    rng = np.random.default_rng(1)
    features = [*(Feature(name=f"n{i}") for i in range(6)), *(COLOUR,) * 3]

    def window(n: int) -> np.ndarray:
        numbers = np.column_stack(
            [rng.normal(size=(n, 3)), rng.poisson(2, n), rng.exponential(size=n), rng.random(n)]
        )
        numbers[rng.random(numbers.shape) < 0.03] = np.nan
        codes = rng.choice([-1, 0, 1, 2], p=[0.002, 0.5, 0.45, 0.048], size=(n, 3))
        return np.column_stack([numbers, codes]).astype(np.float32)

    reference = window(5_000)
    alarms = [check_drift(reference, window(500), features, RULES).is_drifted for _ in range(300)]

    assert sum(alarms) <= 3


def test_half_a_sigma_of_six_in_twenty_features_is_found_nineteen_times_in_twenty() -> None:
    rng = np.random.default_rng(2)
    features = [Feature(name=f"n{i}") for i in range(20)]
    reference = rng.normal(size=(5_000, 20)).astype(np.float32)
    shift = np.where(np.arange(20) < 6, 0.5, 0)

    results = [
        check_drift(
            reference, (rng.normal(size=(1_000, 20)) + shift).astype(np.float32), features, RULES
        )
        for _ in range(60)
    ]

    assert sum(result.is_drifted for result in results) >= 57
    assert "6 of 20 features" in results[0].reason


def test_groups_have_their_own_status() -> None:
    rng = np.random.default_rng(4)
    groups = ["bureau"] * 10 + ["income"] * 10 + ["usage"] * 10 + ["empty"]
    features = [Feature(name=f"n{i}", group=group) for i, group in enumerate(groups)]
    reference, current = (rng.normal(size=(n, 31)).astype(np.float32) for n in (5_000, 1_000))
    current[:, :5] += 1  # half of bureau
    current[:, 10:12] += 1  # a fifth of income
    reference[:, 30] = current[:, 30] = np.nan

    result = check_drift(reference, current, features, RULES)

    assert [(g.name, g.status, g.n_drifted, g.n_testable) for g in result.groups] == [
        ("bureau", "alarm", 5, 10),
        ("income", "warning", 2, 10),
        ("usage", "normal", 0, 10),
        ("empty", "normal", 0, 0),
    ]
    assert result.is_drifted


def test_a_group_of_its_own_sounds_the_alarm_when_all_features_together_would_not() -> None:
    rng = np.random.default_rng(5)
    features = [Feature(name=f"n{i}", group="few" if i < 4 else "many") for i in range(60)]
    reference, current = (rng.normal(size=(n, 60)).astype(np.float32) for n in (5_000, 1_000))
    current[:, :3] += 1

    result = check_drift(reference, current, features, RULES)

    assert result.drift_share == pytest.approx(0.05)
    assert result.is_drifted
    assert result.reason.endswith("; alarm of few (3 of 4)")
