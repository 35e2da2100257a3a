from __future__ import annotations

import math
from typing import Any

import pytest

from learning.problem import label_text as learnt_label_text
from storage.encoding import EncodingError, Value, encode_row, label_text
from storage.manifest import FeatureSpec

NUMBER = (FeatureSpec("n", "numeric"),)
CATEGORY = (FeatureSpec("c", "categorical", categories=("a", "1", "true", "2.5")),)


@pytest.mark.parametrize("value", [True, False, 0, 1, 1.0, 2.5, -0.0, " a ", "1", "", 10**20, 1e20])
def test_answers_spell_labels_as_learning_does(value: Any) -> None:
    assert label_text(value) == learnt_label_text(value)


@pytest.mark.parametrize(("value", "number"), [(3, 3.0), (-0.5, -0.5), (True, 1.0), (False, 0.0)])
def test_numbers_and_truths_become_floats(value: Value, number: float) -> None:
    assert encode_row(NUMBER, [value]) == [number]


@pytest.mark.parametrize("value", [None, float("nan")])
def test_a_missing_number_is_nan_and_a_missing_category_is_minus_one(value: Value) -> None:
    assert math.isnan(encode_row(NUMBER, [value])[0])
    assert encode_row(CATEGORY, [value]) == [-1.0]


@pytest.mark.parametrize(
    ("value", "code"),
    [("a", 0), (" a ", 0), (1, 1), (1.0, 1), ("1", 1), (True, 2), (2.5, 3), ("A", -1), ("", -1)],
)
def test_a_category_is_its_place_and_an_unseen_one_minus_one(value: Value, code: float) -> None:
    assert encode_row(CATEGORY, [value]) == [code]


@pytest.mark.parametrize("value", ["3", "NaN", 1e39, -(10**40), float("inf")])
def test_text_and_numbers_beyond_float32_are_no_numbers(value: Value) -> None:
    with pytest.raises(EncodingError, match="'n'") as refusal:
        encode_row(NUMBER, [value])
    assert repr(value) not in str(refusal.value)


@pytest.mark.parametrize("value", ["a\0", "x" * 1001, float("inf")])
def test_text_that_no_database_takes_is_no_category(value: Value) -> None:
    with pytest.raises(EncodingError, match="'c'"):
        encode_row(CATEGORY, [value])


def test_the_largest_float32_is_still_a_number() -> None:
    assert encode_row(NUMBER, [3.4028234663852886e38]) == [3.4028234663852886e38]


def test_a_row_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="found 2 values; expected 1"):
        encode_row(NUMBER, [1, 2])
