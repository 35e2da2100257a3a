"""What one column is taken for: a target with its classes, numbers, times, categories, nothing."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from learning.inference_columns import as_numbers, as_times, categories_of, judge
from learning.inference_target import InferenceError, infer_target, positive_class

N = 400
CHANCE = np.random.default_rng(0)


@pytest.mark.parametrize(
    ("values", "task", "classes"),
    [
        ([0, 1, 1, 0], "binary", ("0", "1")),
        ([1, 2, 1, 1], "binary", ("1", "2")),
        ([1, 2, 2, 2], "binary", ("2", "1")),
        ([-1, 1, 1, 1], "binary", ("-1", "1")),
        ([0.0, 1.0, 1.0, np.nan], "binary", ("0", "1")),
        ([True, False, True, True], "binary", ("false", "true")),
        (["No", "Yes", "Yes", "Yes"], "binary", ("No", "Yes")),
        (["good", "bad", "bad", "bad"], "binary", ("good", "bad")),
        (["normal", "odd", "odd", "odd"], "binary", ("normal", "odd")),
        (["a", "b", "b", "b"], "binary", ("b", "a")),
        (["a", "b", "a", "b"], "binary", ("a", "b")),
        ([2, 10, 1, 2], "multiclass", ("1", "2", "10")),
        (["b", "a", "c", "a"], "multiclass", ("a", "b", "c")),
        ([1.5, 2.0, 3.0, 4.0], "regression", ()),
        (list(range(11)), "regression", ()),
        (["1.5", "2", "3", "4"], "regression", ()),
    ],
)
def test_the_task_and_its_classes_follow_from_the_values(
    values: list[Any], task: str, classes: tuple[str, ...]
) -> None:
    target = infer_target(pd.Series(values), "y")

    assert (target.task, target.classes) == (task, classes)


def test_labels_are_class_texts_or_numbers_and_missing_where_blank() -> None:
    assert infer_target(pd.Series(["a", " b ", "", None, "b"]), "y").labels.tolist()[:2] == [
        "a",
        "b",
    ]
    assert infer_target(pd.Series(["a", "b", "", None]), "y").labels.isna().sum() == 2
    assert infer_target(pd.Series([0.5, 1.25, np.nan]), "y").labels.isna().tolist()[2]


@pytest.mark.parametrize(
    ("counts", "positive"),
    [
        ({"0": 1, "1": 9}, "1"),
        ({"yes": 9, "no": 1}, "yes"),
        ({"TRUE": 9, "FALSE": 1}, "TRUE"),
        ({"stayed": 1, "gone": 9}, "gone"),
        ({"UP": 4, "DOWN": 6}, "UP"),
        ({"yes": 1, "bad": 2}, "yes"),
        ({"1": 5, "2": 5}, "2"),
    ],
)
def test_the_positive_class_is_found_by_name_then_by_rarity(
    counts: dict[str, int], positive: str
) -> None:
    assert positive_class(counts) == positive


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (["a"] * 10, "every value is 'a'; expected at least two"),
        ([1, 2] + [None] * 8, "80% of the values are missing"),
        ([None] * 10, "100% of the values are missing"),
        ([f"name {place}" for place in range(100)], "nearly every text differs"),
        ([f"name {place % 60}" for place in range(600)], "60 different texts.*too many classes"),
    ],
)
def test_a_target_that_cannot_be_learnt_is_refused(values: list[Any], message: str) -> None:
    with pytest.raises(InferenceError, match=message):
        infer_target(pd.Series(values), "y")


def test_text_of_numbers_is_numeric_though_a_few_are_blank_or_broken() -> None:
    numbers = as_numbers(pd.Series(["1.5", " ", "2"] + ["3"] * 97 + ["x"]))

    assert numbers is not None
    assert numbers[:3].tolist()[::2] == [1.5, 2.0]
    assert int(np.isnan(numbers).sum()) == 2


@pytest.mark.parametrize(
    "values", [["007", "123"], ["1", "x"], [True, False], [None, True], ["", " "]]
)
def test_codes_words_and_truths_are_not_numbers(values: list[Any]) -> None:
    assert as_numbers(pd.Series(values, dtype=object)) is None


@pytest.mark.parametrize(
    ("texts", "second"),
    [
        (["2024-01-31", "2024-02-01 06:00"], "2024-02-01 06:00"),
        (["2024-01-01T00:00:00Z", "2024-01-01T06:00:00+02:00"], "2024-01-01 04:00"),
        (["31/12/2023 10:00", "01/02/2024 11:30"], "2024-02-01 11:30"),
        (["12/31/23 11:00 PM", "1/2/24 1:00 AM"], "2024-01-02 01:00"),
        (["31.12.2023", "1.2.2024"], "2024-02-01"),
        (["2024/01/05", "2024/02/01"], "2024-02-01"),
    ],
)
def test_times_are_read_in_the_usual_spellings(texts: list[str], second: str) -> None:
    times = as_times(pd.Series(texts))

    assert times is not None
    assert times[1] == pd.Timestamp(second, tz="UTC")


def test_of_two_readings_of_a_date_the_rising_one_is_taken() -> None:
    month_first = as_times(pd.Series(["01/02/2024", "02/01/2024", "02/02/2024"]))
    day_first = as_times(pd.Series(["02/01/2024", "03/01/2024", "01/02/2024"]))

    assert month_first is not None
    assert month_first[1] == pd.Timestamp("2024-02-01", tz="UTC")
    assert day_first is not None
    assert day_first[2] == pd.Timestamp("2024-02-01", tz="UTC")


@pytest.mark.parametrize("values", [[1, 2], [2011, 2012], ["1.2.3", "4"], ["x"], [None], []])
def test_numbers_and_other_texts_are_no_times(values: list[Any]) -> None:
    assert as_times(pd.Series(values)) is None


def test_categories_are_counted_under_one_spelling_the_most_frequent_first() -> None:
    column = pd.Series([1, 1.0, "1", " b", "b", "b", "b", "", None], dtype=object)

    assert list(categories_of(column).items()) == [("b", 4), ("1", 3)]


@pytest.mark.parametrize(
    ("name", "values", "reason"),
    [
        ("empty", [None] * N, "every value is missing"),
        ("blank", [" "] * N, "every value is missing"),
        ("constant", [3] * N, "every value is 3"),
        ("constant text", ["x"] * N, "every value is x"),
        ("counter", list(range(N)), "an identifier"),
        ("countdown", list(range(N, 0, -1)), "an identifier"),
        ("epoch", [1_700_000_000 + 37 * place**2 for place in range(N)], "an identifier"),
        ("customer_id", CHANCE.permutation(10 * N)[:N].tolist(), "an identifier"),
        ("customerID", CHANCE.permutation(10 * N)[:N].tolist(), "an identifier"),
        ("code", [f"M{place}" for place in range(N)], "an identifier"),
        ("note", [f"the customer said {place} things" for place in range(N)], "free text"),
        ("street", [f"street {place // 2}" for place in range(N)], "200 different texts"),
        ("day", pd.date_range("2024-01-01", periods=N), "holds dates"),
        ("length", pd.to_timedelta(range(N), unit="s"), "holds lengths of time"),
    ],
)
def test_columns_that_teach_nothing_are_dropped_with_the_reason(
    name: str, values: Any, reason: str
) -> None:
    verdict = judge(name, pd.Series(values))

    assert verdict.use == "drop"
    assert reason in verdict.reason


@pytest.mark.parametrize(
    ("name", "values", "use"),
    [
        ("amount", CHANCE.permutation(10 * N)[:N].tolist(), "numeric"),
        ("few", [1, 2, 3, 1] * (N // 4), "numeric"),
        ("constant or missing", [1, None] * (N // 2), "numeric"),
        ("rising", np.linspace(0, 1, N).tolist(), "numeric"),
        ("flag", [True, False] * (N // 2), "categorical"),
        ("word", ["a", "b"] * (N // 2), "categorical"),
        ("zip", ["01234", "12345"] * (N // 2), "categorical"),
    ],
)
def test_other_columns_are_features(name: str, values: list[Any], use: str) -> None:
    assert judge(name, pd.Series(values)).use == use


def test_the_fifty_most_frequent_categories_are_kept() -> None:
    values = [f"c{place:02d}" for place in range(60) for _ in range(60 - place)]
    verdict = judge("city", pd.Series(values))

    assert verdict.categories == tuple(f"c{place:02d}" for place in range(50))
    assert "50 most frequent of 60" in verdict.reason
