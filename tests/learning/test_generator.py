"""The generators: the same rows however they are asked for, and drift where it is asked for."""

from functools import cache
from typing import Any, Literal

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import roc_auc_score

from learning.generator import SOURCES, START, drift_amount, generate
from learning.problem import GeneratorDrift, Problem
from learning.rows import encode_features
from storage.problems import SHIPPED, load_problem

NAMES = tuple(SOURCES)
SUDDEN_INPUTS = GeneratorDrift(kind="sudden", of="inputs")
SUDDEN_TARGET = GeneratorDrift(kind="sudden", of="target")


@cache
def shipped(name: str) -> Problem:
    return load_problem(name, [SHIPPED])


@cache
def champion(name: str) -> Any:
    """A model fitted on the first 2,000 rows."""
    frame = generate(shipped(name), 2_000)
    model = HistGradientBoostingClassifier(
        max_iter=30, learning_rate=0.2, max_leaf_nodes=6, random_state=0
    )
    return model.fit(inputs(name, frame), labels(name, frame))


def inputs(name: str, frame: pd.DataFrame) -> np.ndarray:
    return encode_features(frame, shipped(name).features)


def labels(name: str, frame: pd.DataFrame) -> np.ndarray:
    problem = shipped(name)
    return (frame[problem.target].astype(str) == problem.classes[1]).to_numpy()


def area(name: str, drift: GeneratorDrift | None = None) -> float:
    """AUC of the champion on 2,000 later rows."""
    frame = generate(shipped(name), 2_000, 10_000, drift)
    scores = champion(name).predict_proba(inputs(name, frame))[:, 1]
    return float(roc_auc_score(labels(name, frame), scores))


@settings(max_examples=15, deadline=None)
@given(
    name=st.sampled_from(("linear", "maintenance", "churn")),
    first=st.integers(0, 2_500),
    n_rows=st.integers(0, 1_500),
    cut=st.integers(0, 1_500),
    kind=st.sampled_from(("none", "sudden", "gradual", "recurring", "incremental")),
)
def test_rows_are_the_same_however_they_are_chunked(
    name: str, first: int, n_rows: int, cut: int, kind: Any
) -> None:
    drift = GeneratorDrift(kind=kind, start_row=700, length_rows=900)
    cut = min(cut, n_rows)

    whole = generate(shipped(name), n_rows, first, drift)
    parts = [
        generate(shipped(name), cut, first, drift),
        generate(shipped(name), n_rows - cut, first + cut, drift),
    ]

    assert len(whole) == n_rows
    if filled := [part for part in parts if len(part)]:
        pd.testing.assert_frame_equal(pd.concat(filled, ignore_index=True), whole)


@pytest.mark.parametrize("name", NAMES)
def test_columns_are_those_of_the_problem_file(name: str) -> None:
    problem = shipped(name)
    frame = generate(problem, 3_000)

    roles = [problem.key, problem.event_time]
    assert set(frame.columns) == {*roles, problem.target, *(f.name for f in problem.features)}
    assert len(frame.columns) == len(problem.features) + 3
    assert set(frame[problem.target].astype(str)) == set(problem.classes)
    for feature in problem.features:
        values = frame[feature.name].dropna()
        if feature.kind == "categorical":
            assert set(values) == set(feature.categories)
        else:
            assert feature.minimum is None or values.min() >= feature.minimum
            assert feature.maximum is None or values.max() <= feature.maximum


def test_credit_has_189_features_in_four_groups() -> None:
    groups = [feature.group for feature in shipped("credit").features]

    assert len(groups) == 189
    assert set(groups) == {"bureau", "transactions", "application", "behaviour"}


@pytest.mark.parametrize("name", NAMES)
def test_times_start_in_2024_and_never_decrease_and_keys_are_unique(name: str) -> None:
    problem = shipped(name)
    frame = generate(problem, 2_100)
    times = frame[problem.event_time]

    assert times.iloc[0] == pd.Timestamp(START)
    assert str(times.dt.tz) == "UTC"
    assert times.is_monotonic_increasing
    assert frame[problem.key].is_unique


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [("linear", 0.4, 0.6), ("maintenance", 0.06, 0.1), ("churn", 0.2, 0.3), ("credit", 0.1, 0.15)],
)
def test_the_share_of_positives_is_that_of_the_story(name: str, low: float, high: float) -> None:
    assert low < labels(name, generate(shipped(name), 6_000)).mean() < high


@pytest.mark.parametrize("name", ["maintenance", "churn", "credit"])
def test_a_few_values_are_missing(name: str) -> None:
    missing = generate(shipped(name), 5_000).isna().mean()

    assert (missing > 0.005).any()
    assert missing.max() < 0.04


def test_seeds_make_different_rows() -> None:
    problem = shipped("linear")
    assert problem.generator is not None
    reseeded = problem.generator.model_copy(update={"seed": 5})
    other = problem.model_copy(update={"generator": reseeded})

    assert not generate(problem, 50)["x1"].equals(generate(other, 50)["x1"])


@pytest.mark.parametrize("name", NAMES)
def test_a_fitted_model_stands_well_above_the_floor_of_the_gate(name: str) -> None:
    floor = shipped(name).gate.floors["roc_auc"]

    assert floor + 0.1 < 0.83 < area(name) < 0.95


@pytest.mark.parametrize("name", NAMES)
def test_a_concept_drift_ruins_a_frozen_model_and_leaves_every_feature_alone(name: str) -> None:
    problem = shipped(name)
    features = [feature.name for feature in problem.features]

    calm, drifted = (generate(problem, 500, 0, drift) for drift in (None, SUDDEN_TARGET))

    assert area(name, SUDDEN_TARGET) < area(name) - 0.08
    pd.testing.assert_frame_equal(calm[features], drifted[features])
    assert not calm[problem.target].equals(drifted[problem.target])


@pytest.mark.parametrize("name", NAMES)
def test_a_data_drift_moves_three_features_in_ten_and_keeps_the_relation(name: str) -> None:
    problem = shipped(name)
    calm, drifted = (generate(problem, 4_000, 0, drift) for drift in (None, SUDDEN_INPUTS))

    moved = [has_moved(calm[f.name], drifted[f.name]) for f in problem.features]

    assert np.mean(moved) >= 0.3
    assert area(name, SUDDEN_INPUTS) > area(name) - 0.08


def has_moved(before: "pd.Series[Any]", after: "pd.Series[Any]") -> bool:
    """Whether a mean moved by 0.4 σ, or the shares of categories by 0.1 in total variation."""
    if before.dtype == object or pd.api.types.is_string_dtype(before.dtype):
        shares = before.value_counts(normalize=True) - after.value_counts(normalize=True)
        return bool(shares.abs().sum() / 2 > 0.1)
    return bool(abs(after.mean() - before.mean()) > 0.4 * before.std())


def amounts(kind: Any, rows: list[int], chance: float = 0.5) -> list[float]:
    drift = GeneratorDrift(kind=kind, start_row=10, length_rows=4, strength=2.0)
    return drift_amount(drift, np.array(rows), np.full(len(rows), chance)).tolist()


def test_no_drift_is_none_at_all() -> None:
    assert amounts("none", [0, 10, 99]) == [0, 0, 0]


def test_a_sudden_drift_starts_at_its_first_row_and_stays() -> None:
    assert amounts("sudden", [9, 10, 99]) == [0, 2, 2]


def test_an_incremental_drift_rises_in_a_line_over_its_length() -> None:
    assert amounts("incremental", [9, 10, 11, 12, 13, 14]) == [0, 0.5, 1.0, 1.5, 2.0, 2.0]


def test_a_recurring_drift_comes_and_goes_every_half_period() -> None:
    assert amounts("recurring", [9, 10, 13, 14, 17, 18]) == [0, 2, 2, 0, 0, 2]


def test_a_gradual_drift_takes_a_row_when_chance_is_below_its_progress() -> None:
    assert amounts("gradual", [9, 10, 11, 12, 13, 99], 0.6) == [0, 0, 0, 2, 2, 2]


@given(
    st.sampled_from(("sudden", "gradual", "recurring", "incremental")),
    st.floats(0, 3),
    st.integers(0, 100),
    st.integers(1, 100),
)
def test_drift_stays_between_nothing_and_its_strength(
    kind: Literal["sudden", "gradual", "recurring", "incremental"],
    strength: float,
    start: int,
    length: int,
) -> None:
    drift = GeneratorDrift(kind=kind, strength=strength, start_row=start, length_rows=length)
    rows = np.arange(200)

    amount = drift_amount(drift, rows, np.linspace(0, 0.999, 200))

    assert ((amount >= 0) & (amount <= strength)).all()
    assert (amount[:start] == 0).all()


def test_a_problem_without_a_generator_is_refused() -> None:
    with pytest.raises(ValueError, match="expected one of linear, maintenance, churn, credit"):
        generate(Problem(name="mine", target="y"), 10)


def test_negative_rows_are_refused() -> None:
    with pytest.raises(ValueError, match="first_row -1"):
        generate(shipped("linear"), 10, -1)
