"""The API's error share: alarmed above one per cent, and only where there is enough to judge."""

from __future__ import annotations

import math

import pytest
from scipy.stats import binomtest

from learning.alert_rules import AlertRules
from learning.error_rate import judge_errors, wilson

RULES = AlertRules()


@pytest.mark.parametrize(
    ("n_requests", "n_errors", "is_high"),
    [(99, 99, False), (100, 1, False), (100, 2, True), (1000, 10, False), (1000, 11, True)],
)
def test_more_than_one_per_cent_of_a_hundred_requests_is_high(
    n_requests: int, n_errors: int, is_high: bool
) -> None:
    assert judge_errors(n_requests, n_errors, RULES).is_high is is_high


def test_too_few_requests_say_nothing() -> None:
    assert not judge_errors(99, 0, RULES).is_testable
    assert math.isnan(judge_errors(0, 0, RULES).share)


@pytest.mark.parametrize(("n_hits", "n"), [(0, 1), (6, 200), (1, 100), (50, 50), (0, 5000)])
def test_the_interval_is_wilsons(n_hits: int, n: int) -> None:
    known = binomtest(n_hits, n).proportion_ci(method="wilson")
    assert wilson(n_hits, n) == pytest.approx((known.low, known.high), abs=1e-9)


def test_routes_are_by_severity_and_may_be_off() -> None:
    rules = AlertRules(discord="warning", email="critical", webhook="off")
    told = {severity: rules.channels(severity) for severity in ("info", "good", "warning")}
    assert told == {"info": (), "good": (), "warning": ("discord",)}
    assert rules.channels("critical") == ("discord", "email")


@pytest.mark.parametrize("value", ["500", 0, "0s"])
def test_reminders_are_given_in_time(value: object) -> None:
    with pytest.raises(ValueError, match="expected a time above zero"):
        AlertRules.model_validate({"still_open_every": value})
