"""The kept reference says the same as its rows, and an odd one still gives a report."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from learning.drift import check_drift
from learning.drift_reference import from_arrays, summarise, summarise_stream, to_arrays
from learning.problem import DriftRules, Feature

RULES = DriftRules()
FEATURES = [
    *(Feature(name=f"n{i}") for i in range(20)),
    Feature(name="colour", kind="categorical", categories=("red", "green", "blue")),
    Feature(name="count"),
    Feature(name="void"),
]


def window(n: int, seed: int, shift: float = 0.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    numbers = rng.normal(size=(n, 20)) + shift
    numbers[rng.random(numbers.shape) < 0.05] = np.nan
    others = [rng.integers(-1, 3, n), rng.poisson(2, n), np.full(n, np.nan)]
    return np.column_stack([numbers, *others]).astype(np.float32)


def test_what_is_kept_says_the_same_as_the_rows() -> None:
    reference, current = window(2_000, 1), window(700, 2, shift=0.4)
    kept = from_arrays(to_arrays(summarise(reference, FEATURES)))

    assert check_drift(kept, current, FEATURES, RULES) == check_drift(
        reference, current, FEATURES, RULES
    )


def test_large_windows_are_shared_by_threads_and_leave_the_window_as_it_was() -> None:
    features = [replace_name(f, f"{f.name}_{turn}") for turn in range(3) for f in FEATURES]
    reference = np.hstack([window(2_000, seed) for seed in (1, 2, 3)])
    current = np.hstack([window(50_000, seed, shift=0.1) for seed in (4, 5, 6)])
    before = current.copy()

    result = check_drift(reference, current, features, RULES)

    np.testing.assert_array_equal(current, before)
    for place, (feature, found) in enumerate(zip(features, result.features, strict=True)):
        one = current[:, place : place + 1].copy()
        alone = check_drift(reference[:, place : place + 1], one, [feature], RULES).features[0]
        np.testing.assert_array_equal(one, before[:, place : place + 1])
        assert (found.test, found.statistic, found.p_value, found.not_testable) == (
            alone.test, alone.statistic, alone.p_value, alone.not_testable,
        )  # fmt: skip


def replace_name(feature: Feature, name: str) -> Feature:
    return feature.model_copy(update={"name": name})


def test_the_calibration_travels_with_it() -> None:
    reference = window(3_000, 1)
    kept = summarise_stream(reference, reference, FEATURES, RULES)
    again = from_arrays(to_arrays(kept))

    assert kept.calibration is not None
    assert again.calibration is not None
    assert again.calibration.n_blocks == kept.calibration.n_blocks > 50
    for size in (10, 50, 1_000, 100_000):
        np.testing.assert_array_equal(
            again.calibration.inflation(size), kept.calibration.inflation(size)
        )
    off = summarise_stream(reference, reference, FEATURES, DriftRules(calibrate=False))
    assert off.calibration is None


def test_a_reference_of_an_older_schema_tests_what_it_knows() -> None:
    older = [
        Feature(name="n0"),
        Feature(name="gone"),
        Feature(name="colour", kind="categorical", categories=("green", "white", "red")),
        Feature(name="count", kind="categorical", categories=("1", "2")),
    ]
    rows = np.column_stack([window(2_000, 1)[:, 0], *(np.arange(2_000) % 3 for _ in range(3))])
    kept = summarise_stream(rows.astype(np.float32), rows.astype(np.float32), older, RULES)

    result = check_drift(kept, window(700, 2), FEATURES, RULES)

    found = {feature.name: feature for feature in result.features}
    assert found["n1"].not_testable == "the reference has no such column"
    assert found["count"].not_testable == "the reference has it as another kind"
    assert found["n0"].not_testable is None
    assert found["n0"].free_rows is not None
    # The reference has a third each of red and green; what today's schema lacks counts as unseen.
    assert found["colour"].missing_change == pytest.approx(0.25 - 1 / 3, abs=0.05)


@pytest.mark.parametrize("broken", ["format", "names", "points", "below", "counts", "levels"])
def test_broken_arrays_are_refused_by_name(broken: str) -> None:
    rows = window(500, 1)
    arrays = to_arrays(summarise_stream(rows, rows, FEATURES, RULES))

    with pytest.raises(ValueError, match=r"broken|format"):
        from_arrays({name: part for name, part in arrays.items() if name != broken})
    with pytest.raises(ValueError, match="found reference format 99; expected 1"):
        from_arrays({**arrays, "format": np.array(99)})


KINDS = {
    "constant": lambda rng, n: np.full(n, 3.0),
    "all missing": lambda rng, n: np.full(n, np.nan),
    "one value": lambda rng, n: np.where(np.arange(n) == 0, 1.0, np.nan),
    "infinite": lambda rng, n: rng.choice([np.inf, -np.inf, 0.0], n),
    "tied": lambda rng, n: rng.poisson(1, n).astype(float),
    "huge": lambda rng, n: rng.normal(size=n) * 1e37,
    "tiny": lambda rng, n: rng.normal(size=n) * 1e-42,
    "trend": lambda rng, n: np.arange(n, dtype=float),
    "plain": lambda rng, n: rng.normal(size=n),
    "codes": lambda rng, n: rng.integers(-1, 2, n).astype(float),
    "unseen codes": lambda rng, n: rng.integers(50, 99, n).astype(float),
}
COLUMNS = st.lists(
    st.tuples(st.sampled_from(sorted(KINDS)), st.sampled_from(sorted(KINDS)), st.booleans()),
    min_size=1,
    max_size=5,
)


@settings(max_examples=120, deadline=None)
@given(
    COLUMNS,
    st.sampled_from([0, 1, 60, 300, 700]),
    st.sampled_from([0, 1, 19, 50, 400]),
    st.sets(st.integers(0, 4)),
    st.integers(0, 99),
)
def test_there_is_always_a_report(
    columns: list[tuple[str, str, bool]], n: int, m: int, missing: set[int], seed: int
) -> None:
    rng = np.random.default_rng(seed)
    features = [
        Feature(
            name=f"c{i}",
            kind="categorical" if is_category else "numeric",
            categories=("a", "b") if is_category else (),
            group="odd" if i % 2 else None,
        )
        for i, (_, _, is_category) in enumerate(columns)
    ]
    sides = [
        np.column_stack([KINDS[column[side]](rng, size) for column in columns]).astype(np.float32)
        for side, size in ((0, n), (1, m))
    ]
    kept = summarise_stream(sides[0], sides[0], features, RULES)
    left = {name: c for name, c in kept.columns.items() if int(name[1:]) not in missing}

    result = check_drift(replace(kept, columns=left), sides[1], features, RULES)

    assert result.reason
    assert [feature.name for feature in result.features] == [f.name for f in features]
    for feature in result.features:
        if feature.not_testable is None:
            assert feature.p_adjusted is not None
            assert 0 <= feature.p_adjusted <= 1
            assert 0 <= (feature.effect or 0.0) <= 1 + 1e-9
            assert feature.test is not None
        else:
            assert not feature.is_drifted


@pytest.mark.parametrize("n", [200, 300_000])
def test_without_features_there_is_a_report_all_the_same(n: int) -> None:
    nothing = np.empty((n, 0), dtype=np.float32)

    assert check_drift(nothing, nothing, [], RULES).drift_share is None
