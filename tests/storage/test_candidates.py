"""Which requests a canary answers: the same for ever, and its share of them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from storage.candidates import position


# Written down once: another number would give clients another model after an upgrade.
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a", 0.00023474531379508168),
        ("b", 0.9984975025101553),
        ("customer-7", 0.1255468234354753),
        ("", 0.08136233398065229),
    ],
)
def test_a_key_stands_where_it_always_stood(name: str, expected: float) -> None:
    assert position("demo", "2", name) == expected


@pytest.mark.parametrize("names", ["{}", "customer-{:08d}", "{}@example.org", "\ud800{}"])
def test_positions_of_keys_of_one_kind_are_uniform(names: str) -> None:
    found = np.array([position("churn", "7", names.format(number)) for number in range(20_000)])
    assert found.min() >= 0
    assert found.max() < 1
    assert stats.kstest(found, "uniform").pvalue > 0.001
    for share in (0.01, 0.1, 0.5):
        n = int((found < share).sum())
        assert stats.binomtest(n, 20_000, share).pvalue > 0.001


def test_a_larger_share_keeps_those_who_were_in_the_smaller_one() -> None:
    keys = [f"k{number}" for number in range(500)]
    few = {key for key in keys if position("demo", "2", key) < 0.1}
    more = {key for key in keys if position("demo", "2", key) < 0.3}
    assert few < more


@pytest.mark.parametrize("other", [("demo", "3"), ("churn", "2")])
def test_another_version_or_problem_is_tried_on_others(other: tuple[str, str]) -> None:
    keys = [f"k{number}" for number in range(5_000)]
    one = np.array([position("demo", "2", key) for key in keys])
    two = np.array([position(*other, key) for key in keys])
    assert abs(np.corrcoef(one, two)[0, 1]) < 0.06
